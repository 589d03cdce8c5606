"""Padding: a border of one value, of edges or of reflections, and elements placed apart in zeros."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..formula import ZERO, Call, Formula, bracketed, places_of
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Expr, Index, all_of, compare, const, guard
from ..op import Access, Array, Op, Sample, function, sample_array
from ..record import record
from ..sizes import Dim
from ..types import Shape, TensorType, as_dim, is_floating
from .shape import Linear, broadcast_to
from .slicing import Slice, slice_axis
from .source import Full


@record
class Pad(Op):
    """The operand with `low[k]` elements before and `high[k]` after it along every axis k, all equal to `value`."""

    name: ClassVar[str] = "pad"
    pattern: ClassVar[str] = "injective"
    low: Shape
    high: Shape
    value: float | int | bool = 0.0

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not len(self.low) == len(self.high) == x.rank:
            raise ShapeError(f"{len(self.low)} and {len(self.high)} widths do not fit the {x.rank} axes of {x}: give two for every axis")
        if any(isinstance(width, int) and width < 0 for width in self.low + self.high):
            raise ShapeError(f"widths {self.low} and {self.high} hold a negative one: slice the tensor to make it smaller")
        return x.with_shape([before + size + after for before, size, after in zip(self.low, x.shape, self.high, strict=True)])

    def evaluate(self, *operands: Array) -> Array:
        (x,) = operands
        result = np.full(self.infer(TensorType(x.dtype.name, x.shape)).shape, self.value, x.dtype)
        result[tuple(slice(low, low + size) for low, size in zip(self.low, x.shape, strict=True))] = x
        return result

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (Slice(self.low, operands[0].shape, (1,) * len(self.low))(cotangent),)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else Pad(self.low, self.high, 0.0)(tangents[0])

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        own: Shape = operands[0].type.shape  # type: ignore[attr-defined]
        moved = tuple(i - before for i, before in zip(index, self.low, strict=True))
        inside = [compare("greater_equal", i, before) for i, before in zip(index, self.low, strict=True)]
        inside += [compare("less", i, size) for i, size in zip(moved, own, strict=True)]
        return guard(all_of(inside), operands[0](moved), const(self.value, out.dtype))

    def canonical(self, *operands: Tensor) -> Tensor | None:
        (x,) = operands
        if all(width == 0 for width in self.low + self.high):
            return x
        alike = isinstance(x.node.op, Full) and x.node.op.value == self.value
        return Full(x.node.op.value, x.dtype, self.infer(x.type).shape)() if alike else None

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((1, 0), (2, 3)), (sample_array(3, 4),))
        yield Sample(cls((2,), (1,), -1.5), (sample_array(5),))
        yield Sample(cls((1, 2), (0, 0)), (sample_array(0, 1),))
        yield Sample(cls((), ()), (sample_array(),))
        yield Sample(cls((1,), (1,), 7), (sample_array(3, dtype="int64"),))


@record
class Place(Linear):
    """The operand's element i at `starts + i * steps` in zeros of `shape`: the transpose of a slice. Steps may be negative."""

    name: ClassVar[str] = "place"
    shape: Shape
    starts: Shape
    steps: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not len(self.shape) == len(self.starts) == len(self.steps) == x.rank:
            raise ShapeError(f"a shape, starts and steps for {len(self.shape)}, {len(self.starts)} and {len(self.steps)} axes do not fit {x}")
        if 0 in self.steps:
            raise ShapeError(f"steps {self.steps} hold a zero, which would put several elements in one place")
        for k, (start, size, step, whole) in enumerate(zip(self.starts, x.shape, self.steps, self.shape, strict=True)):
            last = start + (size - 1) * step
            known = [at for at in (start, last) if isinstance(at, int)]
            if size != 0 and any(at < 0 or (isinstance(whole, int) and at >= whole) for at in known):
                raise ShapeError(f"elements would be placed from {start} to {last} on axis {k} of size {whole}")
        return x.with_shape(self.shape)

    def evaluate(self, *operands: Array) -> Array:
        (x,) = operands
        result = np.zeros(self.shape, x.dtype)
        places = [start + step * np.arange(size) for start, step, size in zip(self.starts, self.steps, x.shape, strict=True)]
        result[np.ix_(*places)] = x
        return result

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (Slice(self.starts, operands[0].shape, self.steps)(cotangent),)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        own: Shape = operands[0].type.shape  # type: ignore[attr-defined]
        held: list[Expr] = []
        moved: list[Dim] = []
        for i, start, step, size in zip(index, self.starts, self.steps, own, strict=True):
            distance = i - start if step > 0 else start - i
            moved.append(distance // abs(step))
            held.append(compare("greater_equal", distance, 0))
            held.append(compare("less", moved[-1], size))
            if abs(step) > 1:
                held.append(compare("equal", distance % abs(step), 0))
        return guard(all_of(held), operands[0](tuple(moved)), const(0, out.dtype))

    def canonical(self, *operands: Tensor) -> Tensor | None:
        (x,) = operands
        unmoved = x.shape == self.shape and all(start == 0 for start in self.starts) and all(step == 1 for step in self.steps)
        return x if unmoved else None

    def formula(self, node: Node, *operands: Formula) -> Formula:
        (x,) = operands
        places = places_of(self.starts, node.operands[0].shape, self.steps, self.shape)
        return Call("place", (x, bracketed(places))) if places and x != ZERO else x

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((5, 7), (1, 0), (1, 2)), (sample_array(3, 4),))
        yield Sample(cls((9,), (7,), (-3,)), (sample_array(3),))
        yield Sample(cls((4,), (0,), (1,)), (sample_array(0),))
        yield Sample(cls((3, 1), (2, 0), (1, 1)), (sample_array(1, 1),))
        yield Sample(cls((), (), ()), (sample_array(),))


def place(x: Tensor, shape: Shape, starts: Shape, steps: tuple[int, ...]) -> Tensor:
    """x's element i at `starts + i * steps` in zeros of `shape`."""
    return Place(shape, starts, steps)(x)


@function
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Tensor:
    """x with a border, as NumPy's `pad`: `pad_width` is a number, a pair (before, after) or a pair for every axis.

    Modes are `constant`, `edge` (the outermost elements repeated), `reflect` (mirrored without repeating them, so at most an
    axis' size - 1 wide) and `wrap` (the elements of the other end, so at most an axis' size wide). Raises ShapeError for
    widths that do not fit, TypeRuleError for another mode.
    """
    tensor = as_tensor(x)
    widths = _widths(pad_width, tensor.ndim)
    if mode == "constant":
        value = float(constant_values) if is_floating(tensor.dtype) else constant_values
        return Pad(tuple(low for low, _ in widths), tuple(high for _, high in widths), value)(tensor)
    if mode not in _BORDERS:
        raise TypeRuleError(f"pad: mode {mode!r} is not one of constant, {', '.join(_BORDERS)}")
    for axis, (low, high) in enumerate(widths):
        tensor = _bordered(tensor, axis, low, high, mode)
    return tensor


def _bordered(x: Tensor, axis: int, low: Dim, high: Dim, mode: str) -> Tensor:
    from .join import concatenate

    parts = [_BORDERS[mode](x, axis, low, True)] if low != 0 else []
    parts.append(x)
    parts += [_BORDERS[mode](x, axis, high, False)] if high != 0 else []
    return concatenate(parts, axis) if len(parts) > 1 else x


def _edge(x: Tensor, axis: int, width: Dim, before: bool) -> Tensor:
    if x.shape[axis] == 0:
        raise ShapeError(f"pad: axis {axis} of {x.type} is empty and has no edge: use mode='constant'")
    outermost = slice_axis(x, axis, 0 if before else x.shape[axis] - 1, 1)
    return broadcast_to(outermost, (*x.shape[:axis], width, *x.shape[axis + 1 :]))


def _reflection(x: Tensor, axis: int, width: Dim, before: bool) -> Tensor:
    size = x.shape[axis]
    if isinstance(size, int) and isinstance(width, int) and width >= size:
        raise ShapeError(f"pad: a reflection of {width} elements needs an axis of at least {width + 1}; axis {axis} of {x.type} has {size}")
    return slice_axis(x, axis, width if before else size - 2, width, -1)


def _other_end(x: Tensor, axis: int, width: Dim, before: bool) -> Tensor:
    size = x.shape[axis]
    if isinstance(size, int) and isinstance(width, int) and width > size:
        raise ShapeError(f"pad: {width} elements of the other end need an axis of at least as many; axis {axis} of {x.type} has {size}")
    return slice_axis(x, axis, size - width if before else 0, width)


_BORDERS = {"edge": _edge, "reflect": _reflection, "wrap": _other_end}


def _widths(given: Any, rank: int) -> list[tuple[Dim, Dim]]:
    """A pair of widths for every axis, from all the forms that NumPy takes."""
    if not isinstance(given, (list, tuple, np.ndarray)):
        return [(as_dim(given), as_dim(given))] * rank
    listed = list(given)
    pairs = [tuple(part) if isinstance(part, (list, tuple, np.ndarray)) else None for part in listed]
    if all(pair is None for pair in pairs):
        pairs = [tuple(listed)]
    if len(pairs) == 1:
        pairs = pairs * rank
    if len(pairs) != rank or any(pair is None or len(pair) not in (1, 2) for pair in pairs):
        raise ShapeError(f"pad: widths {given} do not fit {rank} axes: give a number, a pair, or a pair for every axis")
    return [(as_dim(pair[0]), as_dim(pair[-1])) for pair in pairs if pair]
