"""Pooling, resampling and borders against PyTorch's values, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import ShapeError, TypeRuleError
from graphdl.nn import functional as F
from tests.torch_cases import assert_equals_pytorch, load_cases, make_module

CASES = {call: case for call, case in load_cases("spatial.npz").items() if not call.startswith("Conv")}
FLEXIBLE = {call for call in CASES if "Pool" in call or call in ("Upsample(scale_factor=2)", "Upsample(size=(5, 3), mode='nearest')")}


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("call", CASES)
def test_layers_equal_pytorch(call: str, dtype: str, backend: str) -> None:
    assert_equals_pytorch(call, CASES[call], dtype, backend, {0: "N"})


@pytest.mark.parametrize("call", [call for call in CASES if call in FLEXIBLE and CASES[call]["input"].ndim == 4])
def test_symbolic_spatial_sizes(call: str) -> None:
    assert_equals_pytorch(call, CASES[call], "float64", "native", {0: "N", 2: "H", 3: "W"})


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("call", [call for call in CASES if "MaxPool" in call])
def test_places_of_maxima_equal_pytorch(call: str, backend: str) -> None:
    case = CASES[call]
    module = make_module(f"{call[:-1]}, return_indices=True)", "float32")
    x = gd.placeholder("x", ("N", *case["input"].shape[1:]), "float64")
    values, places = gd.compile(module(x), [x], backend=backend)(case["input"])
    np.testing.assert_array_equal(values, case["output"])
    np.testing.assert_array_equal(places, case["indices"])


def test_the_place_of_a_maximum_is_never_in_the_padding() -> None:
    x = gd.placeholder("x", (1, 1, 4))
    _, places = gd.compile(F.max_pool1d_with_indices(x, 3, 2, 1), [x])(np.full((1, 1, 4), -np.inf, "f"))
    assert places.tolist() == [[[0, 1]]]


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_gradients_go_to_the_first_of_equal_maxima(stride: int, backend: str) -> None:
    x = gd.placeholder("x", (1, 1, 7))
    (gradient,) = gd.grad(F.max_pool1d(x, 3, stride).sum(), [x])
    found = gd.compile(gradient, [x], backend=backend)(np.array([[[0, 5, 5, 5, 1, 1, 5]]], "f"))
    expected = {1: [0, 2, 1, 1, 0, 0, 1], 2: [0, 1, 1, 0, 0, 0, 1], 3: [0, 1, 0, 1, 0, 0, 0]}[stride]
    assert found.ravel().tolist() == expected


def test_nan_is_the_maximum() -> None:
    x = gd.placeholder("x", (1, 1, 4))
    found = gd.compile(F.max_pool1d(x, 2), [x])(np.array([[[1, np.nan, 2, 3]]], "f"))
    np.testing.assert_array_equal(found, [[[np.nan, 3]]])


def test_global_pooling_is_a_mean() -> None:
    x = gd.placeholder("x", ("N", 3, "H", "W"))
    found = gd.compile(F.adaptive_avg_pool2d(x, 1), [x])(np.arange(2 * 3 * 4 * 5, dtype="f").reshape(2, 3, 4, 5))
    np.testing.assert_allclose(found.ravel(), np.arange(6) * 20 + 9.5)


@pytest.mark.parametrize(
    ("make", "error", "mend"),
    [
        (lambda x: F.max_pool2d(x, 7), ShapeError, "kernel or its dilation smaller"),
        (lambda x: F.max_pool2d(x, 2, padding=2), ShapeError, "more than half"),
        (lambda x: F.avg_pool2d(x, (2, 2, 2)), TypeRuleError, "2 of them"),
        (lambda x: F.avg_pool1d(x, 2), ShapeError, "2 or 3 axes"),
        (lambda x: F.max_pool2d(x.astype("int64"), 2), TypeRuleError, "floating"),
        (lambda x: F.max_pool2d(x, 0), ShapeError, "at least 1"),
        (lambda x: F.adaptive_avg_pool2d(x, (1, 2, 3)), ShapeError, "output_size"),
        (lambda x: F.adaptive_max_pool2d(x, (1, 2, 3)), ShapeError, "output_size"),
        (lambda x: F.adaptive_max_pool1d(x.astype("int64"), 2), TypeRuleError, "floating"),
        (lambda x: F.adaptive_max_pool1d(x[..., :0], 2), ShapeError, "empty axis"),
        (lambda x: F.interpolate(x, 3, mode="linear"), TypeRuleError, "bilinear"),
        (F.interpolate, TypeRuleError, "either size or scale_factor"),
        (lambda x: F.interpolate(x, 3, mode="nearest", align_corners=True), TypeRuleError, "align_corners"),
        (lambda x: F.interpolate(x, scale_factor=(1, 2, 3)), TypeRuleError, "2 spatial axes"),
        (lambda x: F.pixel_shuffle(x, 2), ShapeError, "multiple of 2"),
        (lambda x: F.pad(x, (1, 2, 3)), ShapeError, "pair"),
        (lambda x: F.pad(x, (1, 2), "wrap"), TypeRuleError, "reflect"),
        (lambda x: F.pad(x, (6, 0), "reflect"), ShapeError, "at least 7"),
        (lambda x: F.pad(x, (7, 0), "circular"), ShapeError, "at least as many"),
        (lambda x: nn.ZeroPad2d((1, 2, 3)), ShapeError, "4 of them"),
        (nn.ZeroPad1d(1), ShapeError, "2 or 3 axes"),
    ],
)
def test_unfit_options_are_refused(make: object, error: type[Exception], mend: str) -> None:
    assert callable(make)
    with pytest.raises(error, match=mend):
        make(gd.placeholder("x", ("N", 3, 5, 6)))


@pytest.mark.parametrize("sizes", [(2, 3, 17, 23), ("N", 3, "H", "W")], ids=["known", "symbolic"])
@pytest.mark.parametrize("options", [(7, 1, 3, 1), ((9, 7), (1, 2), (4, 0), 1), (6, 1, 2, 2), ((13, 13), 1, 6, 1)], ids=str)
def test_large_windows_along_one_axis_after_another(options: tuple[Any, ...], sizes: tuple[int | str, ...]) -> None:
    """The same maxima, of NaN and of nothing but padding too, and the same gradient."""
    x = gd.placeholder("x", sizes)
    y = F.max_pool2d(x, *options)
    data = np.random.default_rng(0).standard_normal((2, 3, 17, 23)).astype("f")
    data[0, 1, 3, 4], data[1, 2] = np.nan, -np.inf
    both = [gd.compile([y, *gd.grad(gd.where(gd.isfinite(y), y, 0.0).sum(), [x])], [x], backend=backend)(data) for backend in ("native", "numpy")]
    for one, other in zip(*both, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum("max_pool" in kernel.name for kernel in gd.compile(y, [x]).kernels) == 2
