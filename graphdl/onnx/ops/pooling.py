"""Pooling: maxima, means and norms over windows or whole images, and the way back."""

from __future__ import annotations

import math
from typing import Any

from ...errors import ShapeError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.indexing import scatter_add
from ...ops.pad import pad
from ...ops.pooling import MaxPool, WindowArgmax
from ...ops.shape import reshape
from ...ops.source import Iota, full
from ...ops.window_sum import WindowSum
from ...sizes import Dim, product
from ...types import is_floating
from ..registry import Call, translates
from .windows import Windows


def _windows(call: Call, x: Tensor) -> Windows:
    return Windows.of(call, x, tuple(call.required("kernel_shape")))


@translates("MaxPool")
def _max_pool(call: Call, x: Tensor) -> Any:
    # Indices since opset 8, dilations and ceil_mode since opset 10.
    given = _windows(call, x)
    data = x if is_floating(x.dtype) else x.astype("float64")
    attributes: Any = (given.kernel, given.strides, given.low, given.high, given.dilations)
    found = MaxPool(*attributes)(data).astype(x.dtype)
    if not call.wants(1):
        return found
    return found, _places(WindowArgmax(*attributes)(data), given, x, column_major=bool(call.attribute("storage_order", 0)))


def _places(taps: Tensor, given: Windows, x: Tensor, *, column_major: bool) -> Tensor:
    """Numbers of taps as places in the whole array, row by row; in the spatial axes column by column, if told."""
    order = range(len(given.kernel))
    flat = full(taps.shape, 0, "int64")
    strides = _spatial_strides(x, reverse=column_major)
    for k in order:
        inner = math.prod(int(one) for one in given.kernel[k + 1 :])
        tap = taps // inner % int(given.kernel[k])
        place = Iota(taps.shape, k + 2, "int64")() * given.strides[k] + tap * given.dilations[k] - full((), given.low[k], "int64")
        flat = flat + place * full((), strides[k], "int64")
    area = full((), product(x.shape[2:]), "int64")
    image = Iota(taps.shape, 0, "int64")() * full((), x.shape[1], "int64") + Iota(taps.shape, 1, "int64")()
    return image * area + flat


def _spatial_strides(x: Tensor, *, reverse: bool) -> list[Dim]:
    sizes = x.shape[2:]
    return [product(sizes[:k] if reverse else sizes[k + 1 :]) for k in range(len(sizes))]


@translates("AveragePool")
def _average_pool(call: Call, x: Tensor) -> Tensor:
    given = _windows(call, x)
    sums = _window_sum(x, given)
    # Which places count: the data, and the padding if `count_include_pad`, but not what ceil_mode adds.
    inside = FUNCTIONS["ones"]((1, 1, *x.shape[2:]), x.dtype)
    if call.attribute("count_include_pad", 0):
        borders = [(0, 0), (0, 0), *((low, high - extra) for low, high, extra in zip(given.low, given.high, given.extra, strict=True))]
        counted = pad(inside, borders, "constant", 1)
        zeros = (0,) * len(given.kernel)
        counts = _window_sum(counted, Windows(given.kernel, given.strides, given.dilations, zeros, given.extra, given.extra))
    else:
        counts = _window_sum(inside, given)
    return sums / counts.maximum(1.0)  # no window lies in the padding alone


def _window_sum(x: Tensor, given: Windows) -> Tensor:
    ones = (1,) * len(given.kernel)
    kernel: Any = given.kernel
    return WindowSum(kernel, given.strides, given.low, given.high, given.dilations, ones)(x)


@translates("LpPool")
def _lp_pool(call: Call, x: Tensor) -> Tensor:
    p = call.attribute("p", 2)
    return _window_sum(abs(x) ** float(p), _windows(call, x)) ** (1.0 / p)


@translates("GlobalAveragePool")
def _global_average_pool(call: Call, x: Tensor) -> Tensor:
    return x.mean(axis=tuple(range(2, x.ndim)), keepdims=True)


@translates("GlobalMaxPool")
def _global_max_pool(call: Call, x: Tensor) -> Tensor:
    return x.max(axis=tuple(range(2, x.ndim)), keepdims=True)


@translates("GlobalLpPool")
def _global_lp_pool(call: Call, x: Tensor) -> Tensor:
    p = call.attribute("p", 2)
    return (abs(x) ** float(p)).sum(axis=tuple(range(2, x.ndim)), keepdims=True) ** (1.0 / p)


@translates("MaxUnpool")
def _max_unpool(call: Call, x: Tensor, indices: Tensor, shape: Tensor | None = None) -> Tensor:
    kernel = call.required("kernel_shape")
    spatial = x.ndim - 2
    strides, pads = call.attribute("strides", (1,) * spatial), call.attribute("pads", (0,) * 2 * spatial)
    sizes = [(size - 1) * s + k - pads[d] - pads[d + spatial] for d, (size, s, k) in enumerate(zip(x.shape[2:], strides, kernel, strict=True))]
    own = (*x.shape[:2], *sizes)
    wanted = own if shape is None else tuple(call.sizes(shape, "the output's shape"))
    if len(wanted) != x.ndim:
        raise ShapeError(f"the output's shape {wanted} has not the rank of {x.type}")
    places = reshape(_moved(indices, own, wanted), (indices.size,))
    flat = scatter_add(full((product(wanted),), 0, x.dtype), places, reshape(x, (x.size,)), 0)
    return reshape(flat, wanted)


def _moved(indices: Tensor, own: tuple[Dim, ...], wanted: tuple[Dim, ...]) -> Tensor:
    """Places in an array of the shape `own` as places in one of the shape `wanted`."""
    flat, rest = full(indices.shape, 0, "int64"), indices
    for k in range(len(own)):
        inner = full((), product(own[k + 1 :]), "int64")
        flat = flat * full((), wanted[k], "int64") + rest // inner
        rest = rest % inner
    return flat
