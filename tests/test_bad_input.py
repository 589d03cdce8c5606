"""What a layer is given that it cannot take: each is a named error that tells the user's file and line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import CompileError, GraphdlError, IndexOutOfRangeError, ShapeError, StateError, TypeRuleError
from graphdl.nn import functional as F

HERE = r"test_bad_input\.py:\d+"
IMAGE = gd.placeholder("image", ("N", 3, 4, 4))
WAVE = gd.placeholder("wave", ("N", 3, "L"))
HEADS = gd.placeholder("heads", ("N", 2, 5, 4))
TEXT = gd.placeholder("text", ("L", "N", 6))
RECURRENT = [nn.RNN, nn.LSTM, nn.GRU]
each_backend = pytest.mark.parametrize("backend", ["native", "numpy"])


def refused(declare: Callable[[], Any], error: type[GraphdlError], message: str) -> None:
    """The error is of this class, says this, and tells this file."""
    with pytest.raises(error, match=rf"(?s){message}") as told:
        declare()
    assert type(told.value) is error
    told.match(HERE)


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 7, padding=1), nn.MaxPool2d((2, 5)), nn.AvgPool2d(7, padding=1), nn.Conv2d(3, 2, 3, dilation=2)])
def test_kernel_larger_than_the_padded_input(layer: nn.Module) -> None:
    refused(lambda: layer(IMAGE), ShapeError, r"reaches over \d places .* whose padded size is \d.*operand 0 'image'")


@each_backend
@pytest.mark.parametrize("layer", [nn.Conv1d(3, 4, 3), nn.MaxPool1d(3), nn.AvgPool1d(4)])
def test_kernel_larger_than_an_input_of_symbolic_size(layer: nn.Module, backend: str) -> None:
    program = gd.compile(layer(WAVE), [WAVE], backend=backend)
    assert program(np.zeros((1, 3, 4), "f")).shape[2] >= 1
    refused(lambda: program(np.zeros((1, 3, 2), "f")), ShapeError, r"reaches over \d places of spatial axis 0, whose padded size is L.*L-[34] is -[12]")


@pytest.mark.parametrize(
    "declare",
    [
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.Conv1d(4, 3, 1, groups=2),
        lambda: nn.ConvTranspose2d(3, 6, 3, groups=2),
        lambda: nn.GroupNorm(2, 3),
        lambda: F.group_norm(IMAGE, 2),
        lambda: F.conv2d(IMAGE, gd.zeros((4, 1, 3, 3)), groups=2),
        lambda: F.conv_transpose2d(IMAGE, gd.zeros((3, 2, 3, 3)), groups=2),
        lambda: nn.models.unet(block_out_channels=(4, 8), norm_num_groups=3),
    ],
)
def test_groups_that_do_not_divide(declare: Callable[[], Any]) -> None:
    refused(declare, ShapeError, r"[23] groups.* do not (all )?divide")


@pytest.mark.parametrize(
    "declare",
    [
        lambda: nn.MultiheadAttention(6, 4),
        lambda: nn.TransformerEncoderLayer(6, 4),
        lambda: nn.TransformerDecoderLayer(6, 4),
        lambda: nn.Transformer(6, 4),
        lambda: nn.models.gpt(n_embd=6, n_head=4),
        lambda: nn.models.llama(hidden_size=6, num_attention_heads=4),
        lambda: F.scaled_dot_product_attention(gd.zeros((1, 4, 5, 2)), gd.zeros((1, 3, 5, 2)), gd.zeros((1, 3, 5, 2)), enable_gqa=True),
    ],
)
def test_heads_that_do_not_divide(declare: Callable[[], Any]) -> None:
    refused(declare, ShapeError, "heads.* do not divide")


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: F.scaled_dot_product_attention(HEADS, HEADS, HEADS, gd.zeros((5, 4))), r"mask float32\[5, 4\] .*does not broadcast"),
        (lambda: nn.MultiheadAttention(6, 2)(TEXT, TEXT, TEXT, attn_mask=gd.zeros((2, 3, 4, 5))), r"attn_mask float32\[2, 3, 4, 5\] .*\[L, L\]"),
        (lambda: nn.MultiheadAttention(6, 2)(TEXT, TEXT, TEXT, key_padding_mask=gd.zeros((4,))), r"key_padding_mask .*\[N, L\]"),
        (lambda: nn.TransformerEncoderLayer(6, 2)(gd.zeros((5, 3, 6)), gd.zeros((5, 4))), r"attn_mask float32\[5, 4\] .*\[5, 5\]"),
    ],
)
def test_masks_of_the_wrong_shape(declare: Callable[[], Any], message: str) -> None:
    refused(declare, ShapeError, message)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_masks_of_the_wrong_dtype(dtype: str) -> None:
    refused(lambda: F.scaled_dot_product_attention(HEADS, HEADS, HEADS, gd.zeros((5, 5), dtype)), TypeRuleError, f"mask {dtype}.* neither bool")
    attention = nn.MultiheadAttention(6, 2)
    refused(lambda: attention(TEXT, TEXT, TEXT, attn_mask=gd.zeros(("L", "L"), dtype)), TypeRuleError, f"attn_mask {dtype}.* neither bool")
    refused(lambda: attention(TEXT, TEXT, TEXT, key_padding_mask=gd.zeros(("N", "L"), dtype)), TypeRuleError, "key_padding_mask .* neither bool")


@each_backend
@pytest.mark.parametrize("index", [5, -1, -6])
def test_index_outside_the_embedding(index: int, backend: str) -> None:
    layer = nn.Embedding(5, 3)
    words = gd.placeholder("words", ("N",), "int64")
    program = gd.compile(layer(words), [words], backend=backend)
    refused(lambda: program(np.array([1, index])), IndexOutOfRangeError, "take .* size 5")
    loss = layer(words).sum()
    step = gd.compile(loss, [words], updates={layer.weight: layer.weight - gd.grad(loss, layer.weight)}, backend=backend)
    before = layer.weight.value.copy()
    refused(lambda: step(np.array([1, index])), IndexOutOfRangeError, "size 5")
    np.testing.assert_array_equal(layer.weight.value, before)
    refused(lambda: layer(gd.placeholder("words", ("N",))), TypeRuleError, "must be integers")


@each_backend
@pytest.mark.parametrize("kind", RECURRENT)
def test_length_zero(kind: type[nn.Module], backend: str) -> None:
    layer: Any = kind(6, 4)  # type: ignore[call-arg]
    refused(lambda: layer(gd.zeros((0, 2, 6))), ShapeError, "at least 1")
    output, _ = layer(TEXT)
    program = gd.compile([output, *gd.grad(output.sum(), layer.parameters())], [TEXT], backend=backend)
    assert program(np.zeros((1, 2, 6), "f"))[0].shape == (1, 2, 4)
    refused(lambda: program(np.zeros((0, 2, 6), "f")), ShapeError, r"axis 0 of float32\[L, N, 6\] needs a size of at least 1: .*L is 0")


@each_backend
def test_length_zero_for_windows(backend: str) -> None:
    program = gd.compile(nn.Conv1d(3, 4, 3)(WAVE), [WAVE], backend=backend)
    refused(lambda: program(np.zeros((1, 3, 0), "f")), ShapeError, "whose padded size is L.*L-3 is -3")


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: nn.GRU(6, 5, num_layers=2)(TEXT, gd.zeros((1, 2, 5))), r"initial state float32\[1, 2, 5\] .*\(2, N, 5\)"),
        (lambda: nn.LSTM(6, 5)(TEXT, (gd.zeros((1, 2, 5)), gd.zeros((1, 2, 4)))), r"initial state float32\[1, 2, 4\] .*\(1, N, 5\)"),
        (lambda: nn.LSTM(6, 5)(TEXT, (gd.zeros((1, 2, 5)),)), "tuple of 2 initial states"),
        (lambda: nn.LSTM(6, 5)(TEXT, gd.zeros((2, 2, 5))), "tuple of 2 initial states"),
        (lambda: nn.RNN(6, 5)(gd.zeros((4, 2, 6)), gd.zeros((1, 3, 5))), r"initial state float32\[1, 3, 5\] .*\(1, 2, 5\)"),
        (lambda: nn.LSTMCell(6, 5)(gd.zeros((2, 6)), (gd.zeros((2, 5)), gd.zeros((2, 6)))), r"initial state float32\[2, 6\] .*\(2, 5\)"),
        (lambda: nn.LSTMCell(6, 5)(gd.zeros((2, 6)), (gd.zeros((2, 5)),)), "tuple of 2 initial states"),
    ],
)
def test_states_of_the_wrong_size(declare: Callable[[], Any], message: str) -> None:
    refused(declare, ShapeError, message)


@each_backend
def test_a_state_of_another_batch_is_refused_by_the_call(backend: str) -> None:
    state = gd.placeholder("state", (1, "M", 4))
    program = gd.compile(nn.GRU(6, 4)(TEXT, state)[0], [TEXT, state], backend=backend)
    refused(lambda: program(np.zeros((5, 2, 6), "f"), np.zeros((1, 3, 4), "f")), ShapeError, "scan .*in the body: axis 0: M is 3, but N is 2")


def test_a_state_of_another_dtype() -> None:
    refused(lambda: nn.GRU(6, 4)(TEXT, gd.zeros((1, 2, 4), "float64")), TypeRuleError, "initial state float64.*dtype of the input")


def test_every_fault_of_a_state_dict_is_in_one_message() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    state = {name: array.copy() for name, array in net.state_dict().items()}
    before = {name: array.copy() for name, array in state.items()}
    state["0.weight"] = np.ones((4, 4), "f")
    state["1.num_batches_tracked"] = np.array(0.5)
    del state["2.bias"], state["1.running_var"]
    state |= {"extra": np.zeros(2), "0.weights": np.zeros((4, 3))}
    refused(lambda: net.load_state_dict(state), StateError, "misshapen: 0.weight")
    with pytest.raises(StateError) as told:
        net.load_state_dict(state)
    assert str(told.value).splitlines()[1:] == [
        r"  misshapen: 0.weight needs float32[4, 3], got float32[4, 4]",
        r"  wrong dtype: 1.num_batches_tracked needs int64[], got float64[]",
        r"  missing: 1.running_var float32[4]",
        r"  missing: 2.bias float32[2]",
        r"  unexpected: extra float64[2]",
        r"  unexpected: 0.weights float64[4, 3]",
    ]
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("threads", [0, -1, "2", 1.5])
def test_threads_are_a_number(threads: object) -> None:
    with pytest.raises(CompileError, match="threads must be a number, at least 1"):
        gd.compile(gd.placeholder("x", (2,)) * 2, threads=threads)  # type: ignore[arg-type]
