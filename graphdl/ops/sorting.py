"""Order along an axis: sort, argsort and topk. The order is found by counting what comes before each element.

All pairs along the axis are compared, in registers and without memory for them, so time grows with the square of its size, which may be symbolic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError
from ..ir import Tensor, as_tensor
from ..op import Array, Op, Sample, function, normalize_axis, sample_array
from ..record import record
from ..sizes import Dim, product
from ..types import TensorType, as_dim, is_floating
from .elementwise import describe
from .indexing import scatter_add, take_along_axis
from .numeric import moveaxis
from .select import where
from .shape import broadcast_to, expand_dims, reshape
from .slicing import slice_axis
from .source import arange, full


@record
class Argsort(Op):
    """The int64 indices that sort the operand along `axis`, equal elements in the order in which they stand. NaN is larger than all numbers."""

    name: ClassVar[str] = "argsort"
    axis: int
    descending: bool = False

    def infer(self, *operands: TensorType) -> TensorType:
        return operands[0].with_dtype("int64")

    def evaluate(self, *operands: Array) -> Array:
        if not self.descending:
            return np.argsort(operands[0], self.axis, kind="stable")
        turned = np.argsort(np.flip(operands[0], self.axis), self.axis, kind="stable")
        return operands[0].shape[self.axis] - 1 - np.flip(turned, self.axis)

    def expand(self, *operands: Tensor) -> Tensor | None:
        lines = moveaxis(operands[0], self.axis, -1)
        size, count = lines.shape[-1], product(lines.shape[:-1])
        starts = expand_dims(arange(count) * size, 1)
        targets = reshape(reshape(_ranks(lines, self.descending), (count, size)) + starts, (lines.size,))
        places = reshape(broadcast_to(arange(size), lines.shape), (lines.size,))
        order = scatter_add(full((lines.size,), 0, "int64"), targets, places)
        return moveaxis(reshape(order, lines.shape), -1, self.axis)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        with_nan = np.array([[2.0, np.nan, -1.0, 2.0], [np.inf, np.nan, np.nan, -np.inf]])
        for descending in (False, True):
            yield Sample(cls(0, descending), (sample_array(7),))
            yield Sample(cls(1, descending), (sample_array(2, 5, 3),))
            yield Sample(cls(1, descending), (with_nan,))
            yield Sample(cls(0, descending), (np.array([3, 1, 3, -2, 1]),))
            yield Sample(cls(1, descending), (sample_array(2, 6, dtype="bool"),))
            yield Sample(cls(1, descending), (sample_array(3, 0),))
        yield Sample(cls(0), (sample_array(0, 2),))


@function
def argsort(x: Any, axis: int = -1, descending: bool = False) -> Tensor:
    """int64 indices that sort x along `axis`, equal elements in the order in which they stand. NaN counts as larger than all numbers."""
    tensor = as_tensor(x)
    return Argsort(normalize_axis(axis, tensor.ndim), descending)(tensor)


@function
def sort(x: Any, axis: int = -1, descending: bool = False) -> Tensor:
    """x sorted along `axis`. NaN counts as larger than all numbers. Gradients go to the elements where they stood."""
    tensor = as_tensor(x)
    return take_along_axis(tensor, argsort(tensor, axis, descending), axis)


@function
def topk(x: Any, k: Dim | str, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest elements along `axis`, or the smallest, in order, and their int64 indices, as PyTorch's `topk`.

    Of equal elements the first come first. Raises ShapeError where there are fewer than k, at the latest when the program is called.
    """
    tensor, count = as_tensor(x), as_dim(k)
    at = normalize_axis(axis, tensor.ndim)
    size = tensor.shape[at]
    if isinstance(count, int) and isinstance(size, int) and count > size:
        raise ShapeError(f"topk: axis {at} of {describe(tensor)} has only {size} elements, not {count}")
    chosen = slice_axis(argsort(tensor, at, largest), at, 0, count)
    return take_along_axis(tensor, chosen, at), chosen


def _ranks(x: Tensor, descending: bool) -> Tensor:
    """How many elements along the last axis come before each one."""
    size = x.shape[-1]
    mine, other = expand_dims(x, -1), expand_dims(x, -2)
    place = arange(size)
    is_earlier = expand_dims(place, 0) < expand_dims(place, 1)
    first, second = (mine, other) if descending else (other, mine)
    # An earlier element comes before this one unless it must follow it, a later one if it must precede it.
    after_or_equal, before_or_equal = _is_up_to(first, second), _is_up_to(second, first)
    ahead = where(is_earlier, after_or_equal, before_or_equal.logical_not())
    return ahead.astype("int64").sum(axis=-1)


def _is_up_to(x: Tensor, y: Tensor) -> Tensor:
    """x <= y, where NaN is larger than all numbers and equal to itself."""
    return (x <= y) | y.isnan() if is_floating(x.dtype) else x <= y
