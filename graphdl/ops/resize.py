"""Resampling along one axis, as products with matrices that say how much of each old place every new one takes."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..ir import Tensor, as_tensor
from ..op import function, normalize_axis
from ..sizes import Dim, divides
from ..types import as_dim, is_floating
from .elementwise import describe
from .shape import broadcast_to, reshape, transpose
from .source import Iota, full


@function
def repeat_nearest(x: Any, size: Any, axis: int, scale: float | None = None) -> Tensor:
    """`axis` resized to `size`: the new place i takes the old place floor(i * old / size), or floor(i / `scale`)."""
    tensor, to = as_tensor(x), as_dim(size)
    at = normalize_axis(axis, tensor.ndim)
    old = _positive(tensor, at)
    times = divides(old, to)
    if times is not None and scale in (None, times):
        apart = reshape(tensor, (*tensor.shape[: at + 1], 1, *tensor.shape[at + 1 :]))
        repeated = broadcast_to(apart, (*tensor.shape[: at + 1], times, *tensor.shape[at + 1 :]))
        return reshape(repeated, (*tensor.shape[:at], to, *tensor.shape[at + 1 :]))
    if scale is None:
        places = Iota((to,), 0, "int64")() * full((to,), old, "int64") // full((to,), to, "int64")
    else:
        places = (Iota((to,), 0, "float32")() * full((), 1 / scale, "float32")).floor().astype("int64").minimum(full((), old - 1, "int64"))
    return tensor.take(places, axis=at)


@function
def resample_linear(x: Any, size: Any, axis: int, align_corners: bool = False, scale: float | None = None) -> Tensor:
    """`axis` resized to `size` by linear interpolation between old places.

    With `align_corners` the first and last places coincide; else places are centres of cells of width old / size (or 1 / `scale`),
    and what lies outside the outermost centres takes their values.
    """
    tensor, to = as_tensor(x), as_dim(size)
    at = normalize_axis(axis, tensor.ndim)
    old = _positive(tensor, at)
    new = Iota((to,), 0, tensor.dtype)()
    if align_corners:
        position = new * _ratio(old - 1, to - 1, tensor.dtype) if to != 1 else new
    else:
        step = full((), 1 / scale, tensor.dtype) if scale else _ratio(old, to, tensor.dtype)
        position = (new + 0.5) * step - 0.5
    position = position.maximum(0.0).minimum(full((), old - 1, tensor.dtype))
    distance = abs(reshape(position, (to, 1)) - Iota((old,), 0, tensor.dtype)())
    return _along(tensor, (1.0 - distance).maximum(0.0), at)


@function
def mean_cells(x: Any, size: Any, axis: int) -> Tensor:
    """`axis` cut into `size` cells, and the mean of each: cell i reaches from floor(i * old / size) to ceil((i + 1) * old / size)."""
    tensor, to = as_tensor(x), as_dim(size)
    at = normalize_axis(axis, tensor.ndim)
    old = _positive(tensor, at)
    width = divides(to, old)
    if width is not None:
        return reshape(tensor, (*tensor.shape[:at], to, width, *tensor.shape[at + 1 :])).mean(axis=at + 1)
    cell, length, count = Iota((to, 1), 0, "int64")(), full((), old, "int64"), full((), to, "int64")
    first, last = cell * length // count, ((cell + 1) * length + count - 1) // count
    place = Iota((old,), 0, "int64")()
    inside = ((place >= first) & (place < last)).astype(tensor.dtype)
    widths = (last - first).maximum(1)  # no cell is empty
    return _along(tensor, inside / widths.astype(tensor.dtype), at)


def _along(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """The product of the matrix with every line of x along `axis`."""
    if axis == x.ndim - 1:
        return x @ transpose(matrix)
    rest = (*x.shape[:axis], x.shape[axis], -1)
    return reshape(matrix @ reshape(x, rest), (*x.shape[:axis], matrix.shape[0], *x.shape[axis + 1 :]))


def _ratio(top: Dim, bottom: Dim, dtype: str) -> Tensor:
    return full((), top, dtype) / full((), bottom, dtype)


def _positive(x: Tensor, axis: int) -> Dim:
    """The size of an axis that holds something to resample. Raises ShapeError."""
    if x.shape[axis] == 0 or not is_floating(x.dtype):
        raise ShapeError(f"resize: needs floating data that is not empty on axis {axis}, got {describe(x)}")
    return x.shape[axis]
