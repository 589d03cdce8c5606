"""Maxima over windows, and what carries their gradients back. No scatter: every element looks for its windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..kernel.expression import Expr, Index, apply, cast, const, fresh_axes, fresh_axis, guard, index_value, logical_and, reduce
from ..op import Access, Array, Sample, sample_array
from ..record import record
from ..sizes import Dim, as_size
from ..types import Shape, TensorType, is_floating, is_integer
from .window import Window, Windowed, sizes_of

TAP = "int32"  # what numbers of taps are where no one else reads them: as wide as most data
FEW = 16  # taps that are compared one after the other in one expression


class Pooling(Windowed):
    """The base of ops over windows of fixed size in data (N, C, *sizes); a window's taps are numbered row by row."""

    kernel: tuple[int, ...]

    def pooled(self, x: TensorType) -> TensorType:
        """The type with one element for every window. Raises ShapeError or TypeRuleError."""
        self.check_attributes(x)
        if not is_floating(x.dtype) or len(self.kernel) != x.rank - 2:
            raise TypeRuleError(f"needs floating data with {len(self.kernel)} spatial axes, got {x}")
        if min(self.kernel, default=1) < 1:
            raise ShapeError(f"the kernel {self.kernel} has no taps")
        return x.with_shape([*x.shape[:2], *self.counts(x.shape[2:], self.kernel)])

    @property
    def size(self) -> int:
        """The number of taps."""
        return math.prod(self.kernel)

    def unravelled(self, tap: Dim) -> Index:
        """The tap of that number along every axis."""
        return tuple(tap // math.prod(self.kernel[k + 1 :]) % size for k, size in enumerate(self.kernel))

    def all_taps(self, x: Array, filler: float) -> Array:
        """The windows of an array with all taps along the last axis."""
        views = self.views(x, self.kernel, filler)
        return views.reshape(*views.shape[: x.ndim], self.size)


@record
class Fixed(Pooling):
    """The base of pooling of data whose elements stand side by side."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    low: Shape
    high: Shape
    dilation: tuple[int, ...]

    @property
    def input_dilation(self) -> tuple[int, ...]:  # type: ignore[override]
        return (1,) * len(self.kernel)

    def other(self, kind: type[Any], **more: Any) -> Any:
        """Another op over the same windows."""
        return kind(*(getattr(self, field.name) for field in fields(Fixed)), **more)

    def element(self, x: Access, index: Index, taps: Index, filler: float) -> Expr:
        """The element at a tap of the window at `index`, `filler` where the tap lies in the padding."""
        at, inside = self.tap(tuple(index[2:]), taps, x.type.shape[2:])  # type: ignore[attr-defined]
        found = x((*index[:2], *at))
        return guard(inside, found, const(filler, found.dtype))


@record
class MaxPool(Fixed):
    """The largest element of every window; padding never is. NaN if there is one."""

    name: ClassVar[str] = "max_pool"
    pattern: ClassVar[str] = "reduction"

    def infer(self, *operands: TensorType) -> TensorType:
        return self.pooled(operands[0])

    def evaluate(self, *operands: Array) -> Array:
        return self.all_taps(operands[0], -np.inf).max(-1)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        (x,) = operands
        return (self.other(PlaceTaps, sizes=x.shape[2:])(cotangent, self.other(WindowArgmax, dtype=TAP)(x)),)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        chosen: Tensor = self.other(WindowArgmax, dtype=TAP)(operands[0])
        return None if tangents[0] is None else self.other(SelectTaps)(tangents[0], chosen)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        taps = fresh_axes(self.kernel, "r")
        return reduce("max", taps, self.element(operands[0], index, sizes_of(taps), -math.inf))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for op, shape in sample_windows(cls):
            yield Sample(op, (_distinct(*shape),))


@record
class WindowArgmax(Fixed):
    """The number of the tap that holds the largest element of every window: the first of equal ones, or of NaN."""

    name: ClassVar[str] = "window_argmax"
    pattern: ClassVar[str] = "reduction"
    dtype: str = "int64"

    def infer(self, *operands: TensorType) -> TensorType:
        return self.pooled(operands[0]).with_dtype(self.dtype)

    def evaluate(self, *operands: Array) -> Array:
        return np.asarray(self.all_taps(operands[0], -np.inf).argmax(-1), self.dtype)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        if self.size <= FEW:
            return self._among([self.element(operands[0], index, tap, -math.inf) for tap in np.ndindex(*self.kernel)])
        tap = fresh_axis(self.size)
        return cast(reduce("argmax", (tap,), self.element(operands[0], index, self.unravelled(as_size(tap)), -math.inf)), self.dtype)

    def _among(self, elements: Sequence[Expr]) -> Expr:
        """One comparison after the other, in lanes as wide as the elements."""
        best, number = elements[0], const(0, self.dtype)
        for tap, element in enumerate(elements[1:], 1):
            first_nan = logical_and(apply("not_equal", element, element), apply("equal", best, best))
            is_larger = apply("bit_or", apply("greater", element, best), first_nan)
            best, number = apply("select", is_larger, element, best), apply("select", is_larger, const(tap, self.dtype), number)
        return number

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for op, shape in sample_windows(cls):
            yield Sample(op, (_distinct(*shape),))


@record
class SelectTaps(Fixed):
    """Operands x and the number of a tap for every window: x's element there, 0 where that is padding."""

    name: ClassVar[str] = "select_taps"
    pattern: ClassVar[str] = "reduction"

    def infer(self, *operands: TensorType) -> TensorType:
        x, chosen = operands
        if not is_integer(chosen.dtype):
            raise TypeRuleError(f"the chosen taps must be integers, got {chosen}")
        return self.pooled(x)

    def evaluate(self, *operands: Array) -> Array:
        x, chosen = operands
        return np.take_along_axis(self.all_taps(x, 0.0), chosen[..., None], -1)[..., 0]

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        x, chosen = operands
        return self.other(PlaceTaps, sizes=x.shape[2:])(cotangent, chosen), None

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else self(tangents[0], operands[1])

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, chosen = operands
        tap = fresh_axis(self.size)
        at, inside = self.tap(tuple(index[2:]), self.unravelled(as_size(tap)), x.type.shape[2:])  # type: ignore[attr-defined]
        is_chosen = _is_tap(chosen(index), as_size(tap))
        return reduce("sum", (tap,), guard(logical_and(inside, is_chosen), x((*index[:2], *at)), const(0, out.dtype)))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for op, shape in sample_windows(cls):
            x = sample_array(*shape)
            yield Sample(op, (x, op.other(WindowArgmax).evaluate(x)), differentiable=(0,))


@record
class PlaceTaps(Fixed):
    """Operands x and the number of a tap, for every window: x's elements added up at their taps in zeros of (N, C, *sizes).

    The transpose of `SelectTaps`. Taps in the padding are dropped.
    """

    name: ClassVar[str] = "place_taps"
    pattern: ClassVar[str] = "reduction"
    sizes: Shape = ()

    def infer(self, *operands: TensorType) -> TensorType:
        x, chosen = operands
        whole = x.with_shape([*x.shape[:2], *self.sizes])
        if not is_integer(chosen.dtype) or x.rank != chosen.rank or self.pooled(whole).rank != x.rank:
            raise TypeRuleError(f"needs the number of one tap for every element, got {x} and {chosen}")
        return whole

    def evaluate(self, *operands: Array) -> Array:
        x, chosen = operands
        reach = [max((count - 1) * one.stride + int(one.reach(taps)), int(one.low) + int(size)) for count, one, taps, size in self._axes(x)]
        result = np.zeros((*x.shape[:2], *reach), x.dtype)
        for number, tap in enumerate(np.ndindex(*self.kernel)):
            starts = [r * d for r, d in zip(tap, self.dilation, strict=True)]
            places: tuple[Any, ...] = tuple(slice(at, at + (count - 1) * s + 1, s) for at, count, s in zip(starts, x.shape[2:], self.strides, strict=True))
            result[(..., *places)] += np.where(chosen == number, x, 0)
        return result[(..., *(slice(int(low), int(low) + int(size)) for low, size in zip(self.low, self.sizes, strict=True)))]  # type: ignore[arg-type]

    def _axes(self, x: Array) -> Iterator[tuple[int, Window, int, Dim]]:
        return zip(x.shape[2:], self.windows, self.kernel, self.sizes, strict=True)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return self.other(SelectTaps)(cotangent, operands[1]), None

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else self(tangents[0], operands[1])

    @property
    def is_apart(self) -> bool:
        """Whether no two windows share an element, so that each element belongs to one tap of one window at most."""
        return all(taps <= stride and d == 1 for taps, stride, d in zip(self.kernel, self.strides, self.dilation, strict=True))

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        if self.is_apart:
            return self._only_share(index, out, operands)
        tap = fresh_axis(self.size)
        return reduce("sum", (tap,), self._share(index, self.unravelled(as_size(tap)), out, operands))

    def _only_share(self, index: Index, out: TensorType, operands: tuple[Access, ...]) -> Expr:
        """What the one window gives that an element may belong to."""
        x, chosen = operands
        counts: Shape = x.type.shape[2:]  # type: ignore[attr-defined]
        padded = [i + low for i, low in zip(index[2:], self.low, strict=True)]
        taps = [place % s for place, s in zip(padded, self.strides, strict=True)]
        where = (*index[:2], *(place // s for place, s in zip(padded, self.strides, strict=True)))
        inside = const(True, "bool")
        number: Dim = 0
        for at, count, tap, size in zip(where[2:], counts, taps, self.kernel, strict=True):
            inside = logical_and(inside, logical_and(apply("less", index_value(at), index_value(count)), apply("less", index_value(tap), index_value(size))))
            number = number * size + tap
        is_chosen = _is_tap(chosen(where), number)
        return guard(inside, guard(is_chosen, x(where), const(0, out.dtype)), const(0, out.dtype))

    def _share(self, index: Index, taps: Index, out: TensorType, operands: tuple[Access, ...]) -> Expr:
        """What the window gives whose tap lies at `index`, if there is one and it chose that tap."""
        x, chosen = operands
        counts: Shape = x.type.shape[2:]  # type: ignore[attr-defined]
        number: Dim = 0
        at: list[Dim] = []
        inside = const(True, "bool")
        for i, r, count, size, window in zip(index[2:], taps, counts, self.kernel, self.windows, strict=True):
            place, held = Window(1, 0, 0, 1, window.stride).place(i + window.low - r * window.dilation, count)
            at.append(place)
            number = number * size + r
            for test in (*held, apply("less", index_value(r), index_value(size))):
                inside = logical_and(inside, test)
        where = (*index[:2], *at)
        is_chosen = _is_tap(chosen(where), number)
        return guard(inside, guard(is_chosen, x(where), const(0, out.dtype)), const(0, out.dtype))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for op, shape in sample_windows(Fixed):
            chosen = op.other(WindowArgmax).evaluate(sample_array(*shape))
            yield Sample(op.other(cls, sizes=shape[2:]), (sample_array(*chosen.shape, seed=1), chosen), differentiable=(0,))


def _is_tap(chosen: Expr, number: Dim) -> Expr:
    return apply("equal", chosen, cast(index_value(number), chosen.dtype))


def sample_windows(kind: type[Any]) -> Iterable[tuple[Any, tuple[int, ...]]]:
    """Windows of every sort for samples, with the shape of data to slide over: strided, padded, dilated, apart, overlapping."""
    yield kind((2, 2), (2, 2), (0, 0), (0, 0), (1, 1)), (2, 3, 4, 6)
    yield kind((3, 2), (2, 1), (1, 0), (1, 1), (1, 2)), (1, 2, 5, 4)
    yield kind((3,), (1,), (1,), (1,), (1,)), (2, 2, 5)
    yield kind((2,), (3,), (0,), (1,), (1,)), (3, 1, 7)


def _distinct(*shape: int) -> Array:
    """Numbers far enough from each other that no maximum changes under a small step."""
    order = np.random.default_rng(sum(shape)).permutation(math.prod(shape))
    return (order.reshape(shape) - math.prod(shape) / 2) / 4
