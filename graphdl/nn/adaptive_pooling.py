"""Pooling to a fixed number of cells: cell i of an axis reaches from floor(i * old / new) to ceil((i + 1) * old / new)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.extremum import argmax
from ..ops.indexing import take, take_along_axis
from ..ops.resize import mean_cells
from ..ops.shape import expand_dims, reshape
from ..ops.source import arange, full
from ..sizes import Dim, ceildiv, divides
from ..types import is_floating
from .module import Module

Sizes = int | Sequence[int | None] | None


def adaptive_avg_pool1d(input: Tensor, output_size: Sizes) -> Tensor:
    """The mean of each of `output_size` cells, that overlap where the size is no multiple, of input (..., L); None keeps the axis."""
    return _adaptive_mean(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Sizes) -> Tensor:
    """As `adaptive_avg_pool1d`, for the last two axes."""
    return _adaptive_mean(2, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Sizes) -> Tensor:
    """The largest element of each of `output_size` cells of input (..., L), NaN if there is one; None keeps the axis.

    The gradient goes to the first of equal ones. Raises ShapeError for an empty axis, TypeRuleError for an input that is not floating.
    """
    return _adaptive_max(1, input, output_size)[0]


def adaptive_max_pool2d(input: Tensor, output_size: Sizes) -> Tensor:
    """As `adaptive_max_pool1d`, for the last two axes."""
    return _adaptive_max(2, input, output_size)[0]


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Sizes) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d`, and where in the data each largest element stands, int64."""
    return _adaptive_max(1, input, output_size)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Sizes) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool2d`, and where in its plane each largest element stands, as row * W + column, int64."""
    return _adaptive_max(2, input, output_size)


def _sizes(name: str, count: int, input: Tensor, output_size: Sizes) -> tuple[int | None, ...]:
    sizes = (output_size,) * count if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if input.ndim < count + 1 or len(sizes) != count:
        raise ShapeError(f"{name}{count}d: output_size {output_size} needs {count} spatial axes after the channels, got {describe(input)}")
    if any(size is not None and size < 1 for size in sizes):
        raise ShapeError(f"{name}{count}d: output_size {output_size} must be at least 1, for the input {describe(input)}")
    return sizes


def _adaptive_mean(count: int, input: Tensor, output_size: Sizes) -> Tensor:
    sizes = _sizes("adaptive_avg_pool", count, input, output_size)
    for axis, size in zip(range(input.ndim - count, input.ndim), sizes, strict=True):
        input = input if size is None else mean_cells(input, size, axis)
    return input


def _adaptive_max(count: int, input: Tensor, output_size: Sizes) -> tuple[Tensor, Tensor]:
    """One axis after the other, the last one first: so the first of equal ones is that in the order of rows."""
    sizes = _sizes("adaptive_max_pool", count, input, output_size)
    if not is_floating(input.dtype):
        raise TypeRuleError(f"adaptive_max_pool{count}d: needs a floating input, got {describe(input)}")
    extents = input.shape[-count:]
    if 0 in extents:
        raise ShapeError(f"adaptive_max_pool{count}d: {describe(input)} has an empty axis, whose cells have no largest element")
    places = _lined_up(arange(extents[-1]), 1) + full(input.shape, 0, "int64")
    for behind, size in enumerate(reversed(sizes), 1):
        axis = input.ndim - behind
        old = input.shape[axis]
        if size is not None:
            chosen = _largest(input, size, axis)
            input, places = (take_along_axis(x, chosen, axis) for x in (input, places))
        else:
            chosen = _lined_up(arange(old), behind) + full(input.shape, 0, "int64")
        if behind == 2:
            places = places + chosen * full((), extents[-1], "int64")
    return input, places


def _lined_up(x: Tensor, behind: int) -> Tensor:
    """A vector along the axis of that number from the end."""
    return reshape(x, (-1, *[1] * (behind - 1)))


def _largest(x: Tensor, size: int, axis: int) -> Tensor:
    """Where along `axis` the first largest element of every cell is."""
    old = x.shape[axis]
    first, last = _bounds(old, size)
    width = divides(size, old)
    # Cells differ in width by one at most: a narrow one repeats its last element, which is never the first largest.
    steps = arange(ceildiv(old, size) + 1 if width is None else width)
    places = (expand_dims(first, 1) + expand_dims(steps, 0)).minimum(expand_dims(last, 1) - 1)
    found = argmax(take(x, places, axis=axis), axis=axis + 1)
    behind = x.ndim - axis
    return found + _lined_up(first, behind)


def _bounds(old: Dim, size: int) -> tuple[Tensor, Tensor]:
    """Where the cells begin and end."""
    cell, length = arange(size), full((), old, "int64")
    return cell * length // size, ((cell + 1) * length + size - 1) // size


class _AdaptivePool(Module):
    count: ClassVar[int]

    def __init__(self, output_size: Sizes) -> None:
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_AdaptivePool):
    def forward(self, input: Tensor) -> Tensor:
        return _adaptive_mean(self.count, input, self.output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Sizes, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        result, indices = _adaptive_max(self.count, input, self.output_size)
        return (result, indices) if self.return_indices else result


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """`adaptive_avg_pool1d` as a module."""

    count = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """`adaptive_avg_pool2d` as a module."""

    count = 2


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """`adaptive_max_pool1d` as a module; with `return_indices`, `adaptive_max_pool1d_with_indices`."""

    count = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """`adaptive_max_pool2d` as a module; with `return_indices`, `adaptive_max_pool2d_with_indices`."""

    count = 2
