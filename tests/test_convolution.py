"""Convolutions against PyTorch's values, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.backends.native import target
from graphdl.errors import ShapeError, TypeRuleError
from graphdl.nn import functional as F
from graphdl.ops.convolution import convolution
from tests.tolerances import NATIVE, assert_close
from tests.torch_cases import Case, assert_equals_pytorch, load_cases

from .processors import running_as

CASES = {call: case for call, case in load_cases("spatial.npz").items() if call.startswith("Conv")}
CONSTANT = {call for call in CASES if "padding_mode" in call}  # their padding needs known sizes


def is_batched(case: Case) -> bool:
    return case["input"].ndim == case["state|weight"].ndim


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("call", CASES)
def test_convolutions_equal_pytorch(call: str, dtype: str, backend: str) -> None:
    assert_equals_pytorch(call, CASES[call], dtype, backend, {0: "N"} if is_batched(CASES[call]) else {})


@pytest.mark.parametrize("call", [call for call in CASES if call not in CONSTANT and is_batched(CASES[call])])
def test_symbolic_spatial_sizes(call: str) -> None:
    axes = range(2, CASES[call]["input"].ndim)
    assert_equals_pytorch(call, CASES[call], "float64", "native", {0: "N"} | dict(zip(axes, "DHW", strict=False)))


@pytest.mark.parametrize("family", ["x86-64", "avx2", "avx512"])
def test_other_processors(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_as(family, monkeypatch):
        for call, case in CASES.items():
            assert_equals_pytorch(call, case, "float32", "native", {})


# (samples, channels, outputs, sides, kernel, strides, padding, dilation, groups): panels in one row, across rows and across samples
WINDOWS = [
    (1, 3, 5, (9, 11), (3, 3), (1, 1), 1, (1, 1), 1),
    (3, 5, 17, (7, 7), (3, 3), (1, 1), 1, (1, 1), 1),
    (2, 70, 30, (14, 14), (3, 3), (1, 1), 1, (1, 1), 1),
    (2, 1, 20, (28, 28), (5, 3), (1, 1), (2, 1), (1, 1), 1),
    (5, 4, 6, (4, 3), (3, 3), (1, 1), 1, (1, 1), 2),
    (2, 6, 15, (13, 40), (3, 3), (2, 2), 1, (1, 1), 3),
    (1, 3, 16, (33, 35), (7, 7), (2, 3), 3, (1, 1), 1),
    (2, 4, 9, (19, 23), (3, 2), (1, 1), 0, (2, 3), 1),
    (3, 8, 8, (10, 12), (1, 1), (2, 2), 0, (1, 1), 1),
    (2, 12, 12, (17, 33), (3, 3), (1, 1), 1, (1, 1), 12),
    (2, 12, 12, (17, 33), (5, 5), (2, 1), 2, (1, 1), 12),
    (2, 600, 7, (5, 6), (3, 3), (1, 1), 1, (1, 1), 1),
    (2, 3, 8, (50,), (9,), (1,), 4, (1,), 1),
    (4, 2, 40, (400,), (100,), (7,), 0, (1,), 1),
    (1, 1, 6, (500,), (128,), (32,), 0, (1,), 1),
    (1, 2, 9, (300,), (160,), (1,), 0, (1,), 1),
    (1, 8, 8, (9, 70), (3, 39), (1, 1), (1, 19), (1, 1), 1),
    (1, 4, 16, (11, 64), (5, 5), (1, 3), (2, 1), (1, 1), 1),
]


# The same with a known number of samples: panels shared by several groups of tiles, narrow last panels, columns left to dot products.
SMALL_IMAGES: list[tuple[Any, ...]] = [
    (1, 70, 60, (7, 7), (3, 3), (1, 1), 1, (1, 1), 1),
    (1, 70, 130, (14, 13), (3, 3), (2, 2), 1, (1, 1), 1),
    (1, 40, 120, (10, 10), (3, 3), (1, 1), 1, (1, 1), 2),
    (3, 66, 75, (7, 7), (3, 3), (1, 1), 1, (1, 1), 1),
    (2, 30, 160, (9, 11), (5, 5), (3, 2), 2, (1, 1), 2),
    (1, 20, 200, (6, 6), (1, 1), (2, 1), 0, (1, 1), 1),
]
# Results of a few places in many samples, or of a gradient's few taps in many channels: panels of samples, place by place.
FEW_PLACES: list[tuple[Any, ...]] = [
    (2, 33, 40, (4, 4), (3, 3), (2, 2), 1, (1, 1), 1),
    (48, 7, 20, (3, 4), (3, 3), (1, 1), 1, (1, 1), 1),
    (64, 12, 18, (5, 5), (2, 3), (2, 2), 0, (1, 1), 2),
    (3, 50, 30, (3,), (3,), (1,), 1, (1,), 1),
]
# Every channel for itself, in bands of rows: borders, strides, dilation, images shorter and longer than vectors and bands.
PLANES: list[tuple[Any, ...]] = [
    (2, 5, 5, (7, 7), (5, 5), (1, 1), 2, (1, 1), 5),
    (1, 3, 3, (70, 37), (3, 3), (1, 1), 1, (1, 1), 3),
    (2, 4, 4, (33, 130), (5, 3), (2, 1), (2, 0), (1, 2), 4),
    (1, 6, 6, (40, 41), (7, 7), (1, 2), 3, (1, 1), 6),
    (1, 4, 4, (29, 64), (2, 4), (3, 4), 1, (2, 3), 4),
    (1, 2, 2, (300, 19), (9, 9), (1, 3), 4, (1, 1), 2),
    (2, 3, 3, (15, 9), (1, 5), (1, 1), (0, 2), (1, 1), 3),
    (2, 3, 3, (9, 16), (5, 1), (2, 1), (2, 0), (1, 1), 3),
    (1, 3, 3, (12, 11), (12, 3), (1, 1), (6, 1), (1, 1), 3),
]


@pytest.mark.parametrize("family", [None, "avx2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_known", [False, True], ids=["symbolic", "known"])
@pytest.mark.parametrize("case", WINDOWS + SMALL_IMAGES + FEW_PLACES + PLANES, ids=str)
def test_windows_of_every_sort(case: tuple[Any, ...], is_known: bool, dtype: str, family: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With bias, activation and a residual, and both gradients: native against the interpreter, on any number of threads the same bits."""
    if family is not None and (target.host().vector_bytes < 32 or not target.host().triple.startswith("x86_64")):
        pytest.skip(f"this processor does not run {family}")
    samples, channels, outputs, sides, kernel, strides, padding, dilation, groups = case
    batch = samples if is_known else "N"
    x, w = gd.placeholder("x", (batch, channels, *sides), dtype), gd.placeholder("w", (outputs, channels // groups, *kernel), dtype)
    convolve = F.conv2d if len(sides) == 2 else F.conv1d
    y = convolve(x, w, None, strides, padding, dilation, groups)
    beside = gd.placeholder("beside", (batch, *y.shape[1:]), dtype)
    bias = gd.placeholder("bias", (outputs, *(1,) * len(sides)), dtype)
    z = gd.relu(y + bias) + beside
    found = [z, *gd.grad((z * gd.sin(y)).sum(), [x, w])]
    drawn = np.random.default_rng(0)
    sizes = [[size if isinstance(size, int) else samples for size in one.shape] for one in (x, w, beside, bias)]
    data = [drawn.standard_normal(shape).astype(dtype) for shape in sizes]
    data[1] /= np.sqrt(np.prod(sizes[1][1:]), dtype=dtype)
    expected = gd.compile(found, [x, w, beside, bias], backend="numpy")(*data)
    if family is not None:
        monkeypatch.setenv("GRAPHDL_TARGET", family)
    target.host.cache_clear()
    try:
        results = [gd.compile(found, [x, w, beside, bias], threads=threads)(*data) for threads in (1, 2)]
    finally:
        target.host.cache_clear()
    for one, other, wanted in zip(*results, expected, strict=True):
        assert_close(one / np.abs(wanted).max(), wanted / np.abs(wanted).max(), NATIVE[dtype])  # long sums: relative to the largest
        np.testing.assert_array_equal(one, other)


def test_windows_that_see_nothing_but_padding() -> None:
    x, w = gd.placeholder("x", (3, 7, 7, 3, 4), "float64"), gd.placeholder("w", (12, 7, 1, 3, 1), "float64")
    y = convolution(x, w, (3, 5, 1), ((4, 2), (4, 0), (1, 0)), (2, 1, 1))
    data = [np.random.default_rng(seed).standard_normal(one.shape) for seed, one in enumerate((x, w))]
    both = [gd.compile(gd.grad(gd.sin(y).sum(), [x, w]), [x, w], backend=backend)(*data) for backend in ("native", "numpy")]
    for one, other in zip(*both, strict=True):
        assert_close(one, other)


def test_second_derivative_of_a_convolution_is_one_too() -> None:
    x, w = gd.placeholder("x", (2, 3, 6, 5), "float64"), gd.placeholder("w", (4, 3, 3, 2), "float64")
    y = F.conv2d(x, w, stride=2, padding=1)
    (by_x,) = gd.grad((y * y).sum(), [x])
    (twice,) = gd.grad((by_x * by_x).sum(), [w])
    operations = {node.op.name for node in gd.Graph([twice]).nodes}
    assert "convolution" in operations
    assert "scatter_add" not in operations
    arrays = np.random.default_rng(0).normal(size=(2, 3, 6, 5)), np.random.default_rng(1).normal(size=(4, 3, 3, 2))
    native, reference = (gd.compile(twice, [x, w], backend=backend)(*arrays) for backend in ("native", "numpy"))
    assert_close(native, reference)


def test_transposed_convolution_is_the_gradient_of_the_convolution() -> None:
    x, w, y = gd.placeholder("x", (2, 3, 7, 5), "float64"), gd.placeholder("w", (4, 3, 3, 3), "float64"), gd.placeholder("y", (2, 4, 4, 3), "float64")
    (by_x,) = gd.vjp(F.conv2d(x, w, stride=2, padding=1), [x], y)
    layer = F.conv_transpose2d(y, w, stride=2, padding=1)
    assert by_x is layer


def test_whole_options_of_torch() -> None:
    layer = nn.Conv2d(4, 8, (3, 5), 2, "valid", 1, 2, False)
    assert (layer.kernel_size, layer.stride, layer.groups, layer.bias) == ((3, 5), (2, 2), 2, None)
    assert layer.weight.shape == (8, 2, 3, 5)
    assert abs(layer.weight.value).max() <= 1 / np.sqrt(2 * 15)
    transposed = nn.ConvTranspose2d(4, 8, 3, 2, 1, 1, 2)
    assert (transposed.weight.shape, transposed.output_padding, transposed.groups) == ((4, 4, 3, 3), (1, 1), 2)


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_convolve(shape: tuple[int, ...], backend: str) -> None:
    x, w = gd.placeholder("x", shape), gd.placeholder("w", (4, shape[1], 3, 3))
    y = F.conv2d(x, w, padding=1)
    values = gd.compile([y, *gd.grad(y.sum(), [x, w])], [x, w], backend=backend)(np.ones(shape, "f"), np.ones(w.shape, "f"))
    assert [value.shape for value in values] == [(shape[0], 4, 5, 5), shape, w.shape]
    assert not values[0].any()
    assert not values[2].any()


def test_no_rows_beside_panels_that_lie_in_pieces() -> None:
    """A kernel without outputs, its number symbolic, over a gradient's placed elements."""
    rows, parts = gd.placeholder("rows", ("M", 3), "float64"), gd.placeholder("parts", (3, 2), "float64")
    whole = gd.placeholder("whole", (8, 3), "float64")
    (placed,) = gd.grad((whole[::3, ::2] * parts).sum(), [whole])
    f = gd.compile([rows @ placed.transpose()], [rows, parts])
    for count in (5, 0):
        data = np.ones((count, 3)), np.ones((3, 2))
        expected = np.zeros((count, 8))
        expected[:, ::3] = 2
        np.testing.assert_array_equal(f(*data)[0], expected)


def test_a_kernel_larger_than_the_padded_input_is_refused() -> None:
    x = gd.placeholder("x", ("N", 3, 4, 4))
    with pytest.raises(ShapeError, match=r"reaches over 7 places of spatial axis 0, whose padded size is 6") as told:
        F.conv2d(x, gd.parameter(np.zeros((2, 3, 4, 3), "f")), padding=1, dilation=2)
    assert "test_convolution.py" in str(told.value)
    assert "padding larger" in str(told.value)


def test_a_kernel_larger_than_a_symbolic_input_is_refused_at_the_call() -> None:
    x = gd.placeholder("x", (1, 1, "L"))
    f = gd.compile(F.conv1d(x, gd.parameter(np.ones((1, 1, 3), "f"))), [x])
    assert f(np.ones((1, 1, 3), "f")).shape == (1, 1, 1)
    with pytest.raises(ShapeError, match=r"convolution .*L-3"):
        f(np.ones((1, 1, 2), "f"))


@pytest.mark.parametrize(
    ("make", "error", "mend"),
    [
        (lambda: nn.Conv2d(3, 8, 3, groups=2), ShapeError, "2 groups do not divide 3 input"),
        (lambda: nn.Conv2d(3, 8, 3, padding_mode="mirror"), TypeRuleError, "zeros, reflect, replicate, circular"),
        (lambda: nn.Conv2d(3, 8, (3, 3, 3)), TypeRuleError, "2 of them"),
        (lambda: nn.ConvTranspose2d(3, 8, 3, padding_mode="reflect"), TypeRuleError, "zeros"),
        (lambda: nn.Conv2d(3, 8, 3)(gd.placeholder("x", ("N", 4, 5, 5))), ShapeError, "channels"),
        (lambda: nn.Conv2d(3, 8, 3)(gd.placeholder("x", (4, 5))), ShapeError, "3 or 4 axes"),
        (lambda: nn.Conv2d(3, 8, 3, stride=2, padding="same")(gd.placeholder("x", ("N", 3, 5, 5))), TypeRuleError, "stride 1"),
        (lambda: nn.Conv2d(3, 8, 3, padding="full")(gd.placeholder("x", ("N", 3, 5, 5))), TypeRuleError, "valid"),
        (lambda: nn.Conv2d(3, 8, 3)(gd.placeholder("x", ("N", 3, 5, 5), "float64")), TypeRuleError, "cast"),
        (lambda: nn.Conv2d(3, 8, 3, stride=0)(gd.placeholder("x", ("N", 3, 5, 5))), ShapeError, "at least 1"),
        (lambda: nn.ConvTranspose2d(3, 8, 3, 2, output_padding=2)(gd.placeholder("x", ("N", 3, 5, 5))), ShapeError, "smaller than the stride"),
        (lambda: gd.convolution(gd.placeholder("x", ("N", 3, 5)), gd.placeholder("w", (4, 3, 3)), groups=2), ShapeError, "do not divide"),
    ],
)
def test_unfit_options_are_refused(make: object, error: type[Exception], mend: str) -> None:
    assert callable(make)
    with pytest.raises(error, match=mend):
        make()
