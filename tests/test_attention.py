"""Attention and transformers against PyTorch's values, and what masks, copies and errors are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import ShapeError, TypeRuleError
from graphdl.nn import functional as F
from graphdl.pipeline import PASSES, selected
from graphdl.sizes import evaluate
from tests.references.make_attention_references import CASES, FILE, FUNCTION, Case, axes, differentiable, initial, make, weights_like

Array = np.ndarray[Any, Any]
BACKENDS = ["native", "numpy"]
RELATIVE = {"float64": 1e-10, "float32": 3e-5}
each_backend = pytest.mark.parametrize("backend", BACKENDS)

with np.load(FILE, allow_pickle=False) as _arrays:
    REFERENCES = {name: _arrays[name] for name in _arrays.files}


class Typed:
    """graphdl.nn whose modules are made in a dtype."""

    functional = F

    @property
    def models(self) -> Typed:
        return Typed(self.dtype, nn.models)

    def __init__(self, dtype: str, names: Any = nn) -> None:
        self.dtype = dtype
        self.names = names

    def __getattr__(self, name: str) -> Any:
        kind = getattr(self.names, name)
        stacked = name in ("TransformerEncoder", "TransformerDecoder")
        return kind if stacked else lambda *args, **options: kind(*args, **options, dtype=self.dtype)


def cast(array: Array, dtype: str) -> Array:
    """Floating arrays in another precision."""
    return array.astype(dtype) if array.dtype.kind == "f" else array


def declared(case: Case, arrays: dict[str, Array], *, symbolic: bool) -> dict[str, gd.Tensor]:
    """Placeholders for the inputs, with symbols for the sizes that have names, or with numbers."""
    return {name: gd.placeholder(name, axes(case.inputs[name]) if symbolic else array.shape, array.dtype) for name, array in arrays.items()}


def loaded(case: Case, state: Sequence[str], dtype: str) -> tuple[Any, list[gd.Tensor]]:
    """The module with PyTorch's state, and its parameters."""
    module = make(Typed(dtype), case)
    if not isinstance(module, nn.Module):
        return module, []
    words = [entry.split() for entry in state]
    module.load_state_dict({name: initial(int(seed), tuple(map(int, shape))) for name, seed, *shape in words})
    assert list(module.state_dict()) == [name for name, *_ in words]
    return module, module.parameters()


def check(found: Sequence[Array], name: str, part: str, dtype: str) -> None:
    """Compare the elements of all arrays, relative to each array's largest."""
    start, expected = 0, REFERENCES[f"{name}|{part}"]
    for array in found:
        wanted = expected[start : start + array.size].reshape(array.shape)
        start += array.size
        scale = max(float(np.max(np.abs(wanted), initial=0.0)), 1.0)
        np.testing.assert_allclose(array, wanted, rtol=RELATIVE[dtype], atol=RELATIVE[dtype] * scale)
    assert start == expected.size


@pytest.mark.parametrize(("backend", "dtype", "symbolic"), [("native", "float32", True), ("native", "float64", False), ("numpy", "float64", True)])
@pytest.mark.parametrize("name", CASES)
def test_equal_to_pytorch(name: str, symbolic: bool, dtype: str, backend: str) -> None:
    case = CASES[name]
    arrays = {key: cast(array, dtype) for key, array in case.arrays().items()}
    module, parameters = loaded(case, REFERENCES[f"{name}|state"].tolist(), dtype)
    inputs = declared(case, arrays, symbolic=symbolic)
    result = module(**inputs, **case.call)
    outputs = [tensor for tensor in (result if isinstance(result, tuple) else (result,)) if tensor is not None]
    shapes = [tuple(evaluate(size, case.sizes) for size in tensor.shape) for tensor in outputs]
    weights = [gd.placeholder(f"weights{k}", tensor.shape, dtype) for k, tensor in enumerate(outputs)]
    total = sum((a * b).sum() for a, b in zip(outputs, weights, strict=True))
    assert isinstance(total, gd.Tensor)
    wanted = [inputs[key] for key, array in arrays.items() if differentiable(array)]
    gradients = gd.grad(total, [*wanted, *parameters])
    program = gd.compile([*outputs, *gradients], [*inputs.values(), *weights], backend=backend)
    values = program(*arrays.values(), *(weights_like(shape).astype(dtype) for shape in shapes))
    check(values[: len(outputs)], name, "outputs", dtype)
    check(values[len(outputs) :], name, "gradients", dtype)


def test_every_reference_has_a_case() -> None:
    assert {name.partition("|")[0] for name in REFERENCES} == CASES.keys()
    kinds = [case.kind for case in CASES.values()]
    assert min(kinds.count(kind) for kind in kinds) >= 3
    assert FUNCTION in kinds


@each_backend
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("additive", [False, True])
def test_a_query_that_sees_no_key_gets_zeros(additive: bool, causal: bool, backend: str) -> None:
    shape = (2, 3, 4, 5)
    q, k, v = (gd.placeholder(name, shape, "float64") for name in "qkv")
    seen = np.ones((4, 4), bool)
    seen[2] = False
    mask = gd.constant(np.where(seen, 0.0, -np.inf) if additive else seen)
    result = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
    first = gd.grad((result * result).sum(), [q, k, v])
    by_q, by_k, by_v = first
    second = gd.grad((by_q * by_q).sum() + (by_k * by_k).sum() + (by_v * by_v).sum(), [q, k, v])
    arrays = [np.random.default_rng(seed).normal(size=shape) for seed in range(3)]
    values = gd.compile([result, *first, *second], [q, k, v], backend=backend)(*arrays)
    assert not values[0][:, :, 2].any()
    assert values[0][:, :, 3].all()
    assert not values[1][:, :, 2].any()
    assert all(np.isfinite(value).all() for value in values)


@each_backend
def test_dropout_drops_weights_in_training_only(backend: str) -> None:
    x = gd.placeholder("x", ("N", 40, 8))
    layer = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    output, weights = layer(x, x, x, average_attn_weights=False)
    plain, _ = nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    assert gd.Graph(plain).nodes
    array = np.random.default_rng(0).normal(size=(3, 40, 8)).astype("f")
    trained = gd.compile([output, weights], [x], backend=backend)(array)
    used = gd.compile([output, weights], [x], backend=backend, mode="inference")(array)
    assert 0.45 < (trained[1] == 0).mean() < 0.55
    np.testing.assert_allclose(used[1].sum(axis=-1), 1, rtol=1e-5)
    assert layer.in_proj_weight is not None
    values = array @ layer.in_proj_weight.value[16:].T
    mixed = trained[1] @ values.reshape(3, 40, 2, 4).swapaxes(1, 2)
    expected = mixed.swapaxes(1, 2).reshape(3, 40, 8) @ layer.out_proj.weight.value.T
    np.testing.assert_allclose(trained[0], expected, atol=1e-5)


def test_weights_that_nobody_uses_cost_nothing() -> None:
    x = gd.placeholder("x", ("L", "N", 6))
    layer = nn.MultiheadAttention(6, 2)
    assert layer(x, x, x)[0] is layer(x, x, x, need_weights=False)[0]
    assert [node.op.name for node in gd.Graph(layer(x, x, x)[0]).nodes].count("attention") == 1


@each_backend
def test_causal_mask_as_option_and_as_matrix_agree(backend: str) -> None:
    x = gd.placeholder("x", ("L", "N", 6))
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0)
    mask = nn.Transformer.generate_square_subsequent_mask("L")
    a, b = gd.compile([layer(x, mask), layer(x, is_causal=True)], [x], backend=backend)(np.random.default_rng(0).normal(size=(5, 2, 6)).astype("f"))
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_copies_have_arrays_of_their_own() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    stack = nn.TransformerEncoder(layer, 2)
    names = [name for name, _ in stack.named_parameters()]
    assert [str(tensor.name) for tensor in stack.parameters()] == names
    first, second = stack.layers
    assert isinstance(first, nn.TransformerEncoderLayer)
    assert isinstance(second, nn.TransformerEncoderLayer)
    assert first.path == "layers.0"
    np.testing.assert_array_equal(first.linear1.weight.value, second.linear1.weight.value)
    first.linear1.weight.value[:] = 0
    assert layer.linear1.weight.value.any()


def test_what_is_shared_stays_shared_in_a_copy() -> None:
    model = nn.models.gpt(5, 4, 4, 1, 2)
    again = copy.deepcopy(model)
    assert isinstance(again.lm_head, nn.Linear)
    assert isinstance(model.lm_head, nn.Linear)
    assert again.lm_head.weight is again.transformer.wte.weight
    assert again.lm_head.weight is not model.lm_head.weight
    assert len(again.parameters()) == len(model.parameters())


X = gd.placeholder("x", ("L", "N", 6))
HEADS = gd.placeholder("heads", ("N", 4, "L", 6))
FEWER = gd.placeholder("fewer", ("N", 3, "L", 6))


@pytest.mark.parametrize(
    ("declare", "error", "message"),
    [
        (lambda: nn.MultiheadAttention(6, 4), ShapeError, "4 heads do not divide embed_dim=6"),
        (lambda: nn.models.gpt(5, 4, 6, 1, 4), ShapeError, "4 heads do not divide n_embd=6"),
        (lambda: nn.models.llama(5, 8, 8, 1, 4, 3), ShapeError, "4 heads of queries and 3 of keys"),
        (lambda: F.scaled_dot_product_attention(HEADS, FEWER, FEWER), ShapeError, r"heads.*test_attention.py:\d+.*enable_gqa=True"),
        (
            lambda: F.scaled_dot_product_attention(HEADS, FEWER, FEWER, enable_gqa=True),
            ShapeError,
            r"(?s)3 heads of keys do not divide 4.*test_attention.py:\d+",
        ),
        (
            lambda: F.scaled_dot_product_attention(HEADS, HEADS, HEADS, gd.zeros((3, 1, 1))),
            ShapeError,
            r"mask float32\[3, 1, 1\] \(test_attention.py:\d+\) does not broadcast",
        ),
        (lambda: F.scaled_dot_product_attention(X, X, X, gd.zeros((1, 1), "int64")), TypeRuleError, r"int64\[1, 1\] \(test_attention.py:\d+\) is neither bool"),
        (lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=1.5), ValueError, "probability"),
        (lambda: nn.MultiheadAttention(6, 2)(X, X, X, attn_mask=gd.zeros((2, 3, 4, 5))), ShapeError, r"attn_mask .*test_attention.py:\d+.*\[L, L\]"),
        (lambda: nn.MultiheadAttention(6, 2)(X, X, X, gd.zeros((4,))), ShapeError, r"key_padding_mask .*test_attention.py:\d+.*\[N, L\]"),
        (lambda: nn.MultiheadAttention(6, 2)(X, X, X, gd.zeros((4, 4), "int64")), TypeRuleError, "key_padding_mask .* is neither bool"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X, X), ShapeError, r"query 'x' .*test_attention.py:\d+.*needs 8 features"),
        (lambda: nn.Transformer(8, 2)(X, X), ShapeError, "src 'x' .* needs 8 features"),
        (lambda: nn.TransformerEncoderLayer(6, 2, activation="tanh"), ValueError, "relu, gelu or a function"),
    ],
)
def test_what_does_not_fit_is_named(declare: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        declare()


def test_attention_stays_one_node_until_it_is_compiled() -> None:
    q = gd.placeholder("q", ("N", 2, "L", 4))
    result = F.scaled_dot_product_attention(q, q, q, is_causal=True)
    assert [node.op.name for node in gd.Graph(result).nodes] == ["placeholder", "attention"]
    program = gd.compile(result, [q], backend="numpy")
    assert "attention" not in {node.op.name for node in program.graph.nodes}
    assert all(node.provenance.sources for node in program.graph.nodes)


# -- in pieces --------------------------------------------------------------------------------------------------------


def all_but(name: str) -> list[str]:
    """The names of all passes except one."""
    selected("default", "train")
    return [one for one in PASSES if one != name]


PIECES: list[tuple[tuple[Any, ...], dict[str, Any], tuple[int, ...] | None]] = [
    # leading sizes, heads, heads of keys, queries, keys; options; shape of the mask
    (((3,), 2, 2, 7, 7), {}, None),
    (((3,), 2, 2, 9, 9), {"is_causal": True}, None),
    (((3,), 4, 2, 9, 5), {"enable_gqa": True}, None),
    (((2, 3), 4, 2, 11, 11), {"is_causal": True, "enable_gqa": True}, None),
    (((), 4, 4, 8, 6), {}, None),
    (((1,), 1, 1, 23, 23), {"is_causal": True}, None),
    (((1,), 1, 1, 40, 17), {}, None),
    (((3,), 4, 2, 6, 5), {"enable_gqa": True}, (3, 1, 1, 5)),
    (((3,), 4, 2, 6, 5), {"enable_gqa": True}, (1, 4, 6, 5)),
    (((3,), 2, 2, 6, 5), {"is_causal": True}, (6, 5)),
    (((3,), 2, 2, 20, 5), {}, (3, 2, 20, 1)),
    (((2, 3), 2, 2, 6, 6), {"is_causal": True}, (3, 1, 1, 6)),
]


@pytest.mark.parametrize(("sizes", "options", "masked"), PIECES)
@pytest.mark.parametrize(("largest", "symbolic", "backend"), [(4, True, "native"), (40, False, "native"), (40, True, "numpy"), (1 << 20, True, "native")])
def test_pieces_give_what_the_whole_does(
    sizes: Any, options: Any, masked: Any, largest: int, symbolic: bool, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHDL_CACHE_DIR", "off")
    for name, value in (("BLOCK", 2), ("LARGEST", largest), ("LEAST", 1)):
        monkeypatch.setattr(f"graphdl.passes.attention.{name}", value)
    lead, heads, groups, length, keys = sizes
    declared = ("N", *lead[1:]) if symbolic and lead else lead
    rows = {"q": (heads, length, 3), "k": (groups, keys, 3), "v": (groups, keys, 4)}
    q, k, v = tensors = [gd.placeholder(name, (*declared, *shape), "float64") for name, shape in rows.items()]
    random = np.random.default_rng(0)
    mask = None if masked is None else gd.constant(random.random(masked) > 0.3)
    result = F.scaled_dot_product_attention(q, k, v, mask, **options)
    outputs = [result, *gd.grad((result * result).sum(), tensors)]
    arrays = [random.normal(size=(*lead, *shape)) for shape in rows.values()]
    whole = all_but("attention")
    expected = gd.compile(outputs, tensors, backend="numpy", passes=whole)(*arrays)
    program = gd.compile(outputs, tensors, backend=backend)
    for found, wanted in zip(program(*arrays), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


def test_a_training_step_holds_no_weights_of_all_heads_and_items() -> None:
    q, k, v = (gd.placeholder(name, ("N", 8, 256, 32)) for name in "qkv")
    result = F.scaled_dot_product_attention(q, k, v)
    cost = gd.cost(gd.compile([result, *gd.grad((result * result).sum(), [q, k, v])], [q, k, v]))
    one = 4 * 8 * 256 * 256
    assert cost.at(N=64)["arena"] - cost.at(N=32)["arena"] < 32 * one / 4
    assert one < cost.at(N=32)["arena"]


def test_attention_whose_weights_are_read_stays_whole() -> None:
    x = gd.placeholder("x", (4, 300, 64))
    outputs = nn.MultiheadAttention(64, 8, batch_first=True)(x, x, x, average_attn_weights=False)
    graph = gd.compile(list(outputs), [x], backend="numpy").graph
    assert "scan" not in {node.op.name for node in graph.nodes}


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_gradients_and_of_masks_come_from_the_whole(masked: bool) -> None:
    q, m = gd.placeholder("q", (2, 2, 300, 3), "float64"), gd.placeholder("m", (2, 2, 300, 300), "float64")
    result = F.scaled_dot_product_attention(q, q, q, m, is_causal=True)
    by_mask, by_q = gd.grad((result**2).sum(), [m, q])
    outputs = [result, by_mask] if masked else [result, by_q, gd.grad((by_q**2).sum(), q)]
    arrays = [np.random.default_rng(seed).normal(size=tensor.shape) for seed, tensor in enumerate((q, m))]
    whole = all_but("attention")
    for found, wanted in zip(gd.compile(outputs, [q, m])(*arrays), gd.compile(outputs, [q, m], passes=whole)(*arrays), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)
