"""ResNet and U-Net against torchvision's and diffusers' values, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import ShapeError, StateError, TypeRuleError
from graphdl.nn.buffer import assignments
from tests.references.make_model_references import CASES, Case, initial, sampled, weights_like
from tests.torch_cases import RELATIVE, assert_near, load_cases

Array = np.ndarray[Any, Any]
REFERENCES = load_cases("models.npz")


def build(case: Case, state: Array, dtype: str) -> nn.Module:
    """The model with the state of the reference, whose names and order it has."""
    model: nn.Module = getattr(nn.models, case.builder)(**case.options, dtype=dtype)
    words = [entry.split() for entry in state.tolist()]
    assert [[name, *map(str, array.shape)] for name, array in model.state_dict().items()] == words
    model.load_state_dict({name: initial(k, name, tuple(map(int, shape))) for k, (name, *shape) in enumerate(words)})
    return model


def declare(case: Case, arrays: dict[str, Array], dtype: str) -> dict[str, gd.Tensor]:
    """Placeholders with a symbolic batch."""
    kinds = {name: "int64" if array.dtype.kind == "i" else dtype for name, array in arrays.items()}
    return {name: gd.placeholder(name, ("N", *array.shape[1:]) if array.ndim else (), kinds[name]) for name, array in arrays.items()}


@pytest.mark.parametrize(("dtype", "backend"), [("float64", "numpy"), ("float64", "native"), ("float32", "native")])
@pytest.mark.parametrize("name", CASES)
def test_like_torchvision_and_diffusers(name: str, dtype: str, backend: str) -> None:
    case, reference = CASES[name], REFERENCES[name]
    model = build(case, reference["state"], dtype)
    arrays = case.arrays()
    inputs = declare(case, arrays, dtype)
    given = [array.astype(tensor.dtype) for array, tensor in zip(arrays.values(), inputs.values(), strict=True)]
    output = model(*inputs.values())
    total = (output * gd.constant(weights_like(reference["output"].shape), dtype)).sum()
    wanted = [tensor for tensor in inputs.values() if tensor.dtype == dtype]
    gradients = gd.grad(total, [*wanted, *model.parameters()])
    program = gd.compile([output, *gradients], list(inputs.values()), backend=backend, updates=assignments([output]))
    values = program(*given)
    assert_near(values[0], reference["output"], dtype, "output")
    for value, expected in zip(values[1:], reference["gradients"], strict=True):
        scale = max(float(expected[0]), 1.0)
        np.testing.assert_allclose(sampled(value), expected, rtol=RELATIVE[dtype], atol=RELATIVE[dtype] * scale)
    running = [buffer.ravel() for entry, buffer in model.state_dict().items() if "running" in entry]
    if running:
        assert_near(sampled(np.concatenate(running)), reference["running"], dtype, "running statistics")
    inference = gd.compile(output, list(inputs.values()), backend=backend, mode="inference")
    assert_near(inference(*given), reference["inference"], dtype, "inference")


def test_small_images_keep_their_places_in_the_small_stem() -> None:
    model = nn.models.resnet18(10, in_channels=1, width=8, stem="small")
    x = gd.placeholder("x", ("N", 1, 28, 28))
    assert [features.shape[1:] for features in model.features(x)] == [(8, 28, 28), (16, 14, 14), (32, 7, 7), (64, 4, 4)]
    assert model(x).shape == (x.shape[0], 10)


def test_sizes_of_published_networks() -> None:
    assert sum(tensor.value.size for tensor in nn.models.resnet50().parameters()) == 25_557_032
    assert sum(tensor.value.size for tensor in nn.models.resnet34().parameters()) == 21_797_672


def test_symbolic_places_of_a_unet() -> None:
    case = CASES["unet"]
    model = build(case, REFERENCES["unet"]["state"], "float64")
    sample = gd.placeholder("sample", ("N", 1, "H", "W"), "float64")
    context = gd.placeholder("context", ("N", "S", 6), "float64")
    output = model(sample, gd.placeholder("timestep", ("N",), "int64"), context)
    assert output.shape == sample.shape
    found = gd.compile(output, mode="inference")(
        sample=case.arrays()["sample"], timestep=case.arrays()["timestep"], context=case.arrays()["encoder_hidden_states"]
    )
    assert_near(found, REFERENCES["unet"]["inference"], "float64")


def test_a_unet_without_context() -> None:
    model = nn.models.unet(1, 1, (4, 8), 1, None, num_attention_heads=1, norm_num_groups=2)
    x, t = gd.placeholder("x", ("N", 1, 6, 6)), gd.placeholder("t", ("N",))
    assert not [name for name in model.state_dict() if "attn2" in name]
    found = gd.compile(model(x, t), [x, t], mode="inference")(np.ones((2, 1, 6, 6), "f"), np.array([0.25, 0.5], "f"))
    assert found.shape == (2, 1, 6, 6)
    assert abs(found[0] - found[1]).max() > 0


X = gd.placeholder("x", ("N", 2, 8, 8))
T = gd.placeholder("t", ("N",))
UNET: dict[str, Any] = {
    "in_channels": 2,
    "out_channels": 2,
    "block_out_channels": (4, 8),
    "num_attention_heads": 2,
    "norm_num_groups": 2,
    "cross_attention_dim": 6,
}


@pytest.mark.parametrize(
    ("declare", "error", "message"),
    [
        (lambda: nn.models.resnet("dense"), ValueError, "basic or bottleneck"),
        (lambda: nn.models.resnet(stem="none"), ValueError, "imagenet or small"),
        (lambda: nn.models.resnet(groups=2), ShapeError, "only bottlenecks"),
        (lambda: nn.models.resnet(layers=()), ShapeError, "at least 1"),
        (lambda: nn.models.resnet("bottleneck", width=8, width_per_group=4), ShapeError, "no channels"),
        (lambda: nn.models.resnet18(width=4)(X), ShapeError, r"images 'x' .*test_image_models.py:\d+"),
        (lambda: nn.models.unet(**{**UNET, "norm_num_groups": 3}), ShapeError, "3 groups, 2 heads"),
        (lambda: nn.models.unet(**UNET, attention=(True,)), ShapeError, "as many levels are needed"),
        (lambda: nn.models.unet(**UNET)(X, T), TypeRuleError, r"needs a context \(N, S, 6\)"),
        (lambda: nn.models.unet(**UNET)(X, T, gd.zeros((2, 3, 5))), ShapeError, r"context float32\[2, 3, 5\] .*test_image_models.py:\d+"),
        (lambda: nn.models.unet(**{**UNET, "cross_attention_dim": None})(X, T, gd.zeros((2, 3, 5))), TypeRuleError, "takes no context"),
        (lambda: nn.models.unet(**UNET)(gd.zeros((2, 1, 8, 8)), T, gd.zeros((2, 3, 6))), ShapeError, "sample"),
        (lambda: nn.models.timestep_embedding(T, 5), ShapeError, "even"),
    ],
)
def test_what_does_not_fit_is_named(declare: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        declare()


def test_a_state_of_another_network_is_refused_whole() -> None:
    model = nn.models.resnet("basic", (1, 1), 5, width=4)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with pytest.raises(StateError) as told:
        model.load_state_dict(nn.models.resnet("bottleneck", (1, 1), 3, width=4).state_dict())
    lines = str(told.value).splitlines()
    assert any("misshapen: fc.weight needs float32[5, 8], got float32[3, 32]" in line for line in lines)
    assert any(line.strip().startswith("unexpected: layer1.0.conv3.weight") for line in lines)
    assert any("misshapen: layer1.0.conv1.weight" in line for line in lines)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
