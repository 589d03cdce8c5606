"""Slices: some of the elements along every axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError
from ..formula import ZERO, Formula, Indexed, places_of
from ..ir import Node, Tensor
from ..kernel.expression import Expr, Index
from ..op import Access, Array, Sample, sample_array
from ..record import record
from ..sizes import Dim, Size, ceildiv, maximum
from ..types import Shape, TensorType
from .shape import Linear
from .source import Full


@record
class Slice(Linear):
    """Elements `starts[k] + i * steps[k]` for i below `sizes[k]`, along every axis; steps may be negative."""

    name: ClassVar[str] = "slice"
    starts: Shape
    sizes: Shape
    steps: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        for k, (start, size, step, whole) in enumerate(zip(self.starts, self.sizes, self.steps, x.shape, strict=True)):
            last = start + (size - 1) * step
            if isinstance(size, int) and isinstance(last, int) and size > 0 and (last < 0 or (isinstance(whole, int) and last >= whole)):
                raise ShapeError(f"the slice reaches {last} on axis {k} of size {whole}")
            if size != 0:  # what sizes leave open is for the call to confirm
                low, high = (start, last) if step > 0 else (last, start)
                unify(maximum(low, 0), low, f"the lowest element of the slice on axis {k}, which is not negative,")
                unify(maximum(high + 1, whole), whole, f"the end of the slice on axis {k} and the size {whole}")
        return x.with_shape(self.sizes)

    def evaluate(self, *operands: Array) -> Array:
        x = operands[0]
        for axis, (start, size, step) in enumerate(zip(self.starts, self.sizes, self.steps, strict=True)):
            x = np.take(x, int(start) + step * np.arange(int(size)), axis)
        return x

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        from .pad import place

        return (place(cotangent, operands[0].shape, self.starts, self.steps),)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        return operands[0](tuple(start + step * i for start, step, i in zip(self.starts, self.steps, index, strict=True)))

    def canonical(self, *operands: Tensor) -> Tensor | None:
        (x,) = operands
        if self.sizes == x.shape and all(start == 0 for start in self.starts) and all(step == 1 for step in self.steps):
            return x
        return Full(x.node.op.value, x.dtype, self.sizes)() if isinstance(x.node.op, Full) else None

    def formula(self, node: Node, *operands: Formula) -> Formula:
        places = places_of(self.starts, self.sizes, self.steps, node.operands[0].shape)
        return Indexed(operands[0], places) if places and operands[0] != ZERO else operands[0]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((1, 2), (2, 3), (1, 1)), (sample_array(4, 6),))
        yield Sample(cls((3, 0), (2, 3), (-2, 2)), (sample_array(4, 6),))
        yield Sample(cls((0,), (0,), (1,)), (sample_array(4),))


def slice_axis(x: Tensor, axis: int, start: Dim, size: Dim, step: int = 1) -> Tensor:
    """`size` elements of one axis from `start` by `step`, all of the others."""
    starts: list[Dim] = [0] * x.ndim
    sizes, steps = list(x.shape), [1] * x.ndim
    starts[axis], sizes[axis], steps[axis] = start, size, step
    return Slice(tuple(starts), tuple(sizes), tuple(steps))(x)


def slice_bounds(key: slice, size: Dim) -> tuple[Dim, Dim, int]:
    """Start, size and step of a Python slice over an axis. Symbolic axes take the slice as within their size."""
    step = 1 if key.step is None else int(key.step)
    if isinstance(size, int) and not any(isinstance(bound, Size) for bound in (key.start, key.stop)):
        start, stop, step = key.indices(size)
        return start, max(0, -(-(stop - start) // step)), step
    lowest: Dim = 0 if step > 0 else size - 1
    first = lowest if key.start is None else _wrapped(key.start, size)
    if step > 0:
        end = size if key.stop is None else _wrapped(key.stop, size)
        return first, ceildiv(end - first, step), step
    end = -1 if key.stop is None else _wrapped(key.stop, size)
    return first, ceildiv(first - end, -step), step


def _wrapped(at: Dim, size: Dim) -> Dim:
    return at + size if isinstance(at, int) and at < 0 else at
