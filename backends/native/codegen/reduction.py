"""Reductions inside kernels, in a fixed order: the same bits for any number of threads.

Where the vector axis is open and the body depends on it, every lane reduces for itself. Otherwise the lanes run along the
reduced axis that is contiguous in memory, and are combined in a tree at the end.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from graphdl.kernel.expression import Axis, Expr, Load, Reduce, Scalar, identity, substitute_axes, walk
from graphdl.kernel.functions import TABLE
from graphdl.sizes import Atom, Dim, as_size
from graphdl.types import is_floating

from ..llvm import I64, Function, Loop, Type, Value
from .affine import linear_part
from .emitter import Emitter
from .fetch import fetch_ahead, streams_of
from .registers import REGISTER, itemsize
from .scalar import emit_scalar

UNROLLED = 32  # elements of a reduction for which there is code one by one: the taps of a window
SHARING = 4  # elements along an axis for which there is code one by one if they share a load
_COMBINE = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


@dataclass(frozen=True)
class Combination:
    """How one kind of reduction starts and goes on, for one dtype. Arg-reductions carry a value and an index."""

    kind: str
    dtype: str

    @property
    def is_arg(self) -> bool:
        return self.kind in ("argmax", "argmin")

    @property
    def register(self) -> Type:
        return REGISTER[self.dtype]

    def start(self, lanes: int) -> list[Value]:
        """Nothing yet: for arg-reductions the first element's index, which stays if nothing is more extreme than the identity."""
        nothing = self.register.with_lanes(lanes).const(identity(self.kind.removeprefix("arg"), self.dtype))
        return [nothing, I64.with_lanes(lanes).const(0)] if self.is_arg else [nothing]

    def follow(self, f: Function, held: list[Value], element: list[Value]) -> list[Value]:
        """What is held with the next element: of equal extremes the earlier one stays."""
        return self.join(f, held, element, self._ahead(f, element[0], held[0]) if self.is_arg else None)

    def join(self, f: Function, left: list[Value], right: list[Value], better: Value | None = None) -> list[Value]:
        """The two parts as one; of equal extremes the one with the smaller index stays."""
        if not self.is_arg:
            return [emit_scalar(f, _COMBINE[self.kind], self.dtype, self.dtype, [left[0], right[0]])]
        better = better or self._better(f, left, right)
        return [f.select(better, b, a) for a, b in zip(left, right, strict=True)]

    def _better(self, f: Function, left: list[Value], right: list[Value]) -> Value:
        """Whether `right` replaces `left`: it is more extreme (NaN is the most), or equal and earlier."""
        (a, i), (b, j) = left, right
        ahead, behind = self._ahead(f, b, a), self._ahead(f, a, b)
        tie = f.bit_xor(f.bit_or(ahead, behind), ahead.type.const(True))
        return f.bit_or(ahead, f.bit_and(tie, f.compare("ult", j, i)))

    def _ahead(self, f: Function, x: Value, y: Value) -> Value:
        larger = emit_scalar(f, "greater" if self.kind == "argmax" else "less", "bool", self.dtype, [x, y])
        if not x.type.is_float:
            return larger
        x_nan, y_nan = f.compare("uno", x, x), f.compare("uno", y, y)
        return f.bit_or(larger, f.bit_and(x_nan, f.bit_xor(y_nan, y_nan.type.const(True))))


def emit_reduction(emitter: Emitter, x: Reduce, guard: Expr | None) -> Value:
    """The value of a reduction at the open point."""
    combination = Combination(x.kind, x.body.dtype)
    lanes = emitter.lanes
    if lanes is not None and lanes.axis in (x.axes | guard.axes if guard is not None else x.axes):
        parts = _Sequential(emitter, x, combination, guard).run(combination.start(lanes.count))
    else:
        parts = _Vectorised(emitter, x, combination, guard).run()
    return parts[-1]


class _Sequential:
    """Plain loops over the reduced axes; lanes, if any are open, belong to another axis."""

    def __init__(self, emitter: Emitter, x: Reduce, combination: Combination, guard: Expr | None) -> None:
        self.emitter, self.x, self.combination, self.guard = emitter, x, combination, guard

    def run(self, start: list[Value]) -> list[Value]:
        self.written_out = self.x.reduced if is_unrolled(self.x) else sharing_axes(self.x)
        lanes = self.emitter.lanes
        self.streams = streams_of(self.x, lanes.axis) if lanes is not None and self.guard is None else []
        return self._loops([axis for axis in self.x.reduced if axis not in self.written_out], start)

    def _points(self, carried: list[Value]) -> list[Value]:
        """One element after the other of the axes that are written out."""
        for point in itertools.product(*(range(axis.size) for axis in self.written_out if isinstance(axis.size, int))):
            carried = self.combination.follow(self.emitter.f, carried, self._at(point))
        return carried

    def _at(self, point: tuple[int, ...]) -> list[Value]:
        """The element at numbers in place of the axes that are written out."""
        emitter = self.emitter
        places: dict[Atom, Dim] = dict(zip(self.written_out, point, strict=True))
        value = emitter.spread(emitter.value(substitute_axes(self.x.body, places), self.guard))
        return [value, emitter.spread(I64.const(point[0]))] if self.combination.is_arg else [value]

    def _loops(self, axes: list[Axis], carried: list[Value]) -> list[Value]:
        if not axes:
            return self._points(carried) if self.written_out else self.combination.follow(self.emitter.f, carried, self._element())
        emitter, axis = self.emitter, axes[0]
        with emitter.f.loop(I64.const(0), emitter.index(axis.size), 1, carried) as loop, emitter.binding(axis, loop.index):
            for stream in self.streams:
                if axis in stream.axes and stream.axes.isdisjoint((*axes[1:], *self.written_out)):
                    fetch_ahead(emitter, stream, axis)
            loop.next = self._loops(axes[1:], loop.carried)
        return loop.carried

    def _element(self) -> list[Value]:
        emitter = self.emitter
        value = emitter.value(self.x.body, self.guard)
        value = emitter.spread(value)
        if not self.combination.is_arg:
            return [value]
        return [value, emitter.spread(emitter.index(as_size(self.x.reduced[0])))]


class _Vectorised(_Sequential):
    """Lanes run along one reduced axis: whole blocks, then the rest under a mask (or one by one where masks are slow)."""

    def run(self, start: list[Value] | None = None) -> list[Value]:
        emitter, combination = self.emitter, self.combination
        self.axis = contiguous_axis(self.x)
        self.single = emitter.target.vector_bytes // max(itemsize(dtype) for dtype in _dtypes(self.x))
        self.single = max(self.single, 1)
        size = self.axis.size
        self.lanes = self.single * unroll_of(self.x.body)
        while isinstance(size, int) and self.lanes > self.single and size < 2 * self.lanes:
            self.lanes //= 2
        if (isinstance(size, int) and (size < 4 or size < self.single // 4)) or self.single == 1:
            return _Sequential.run(self, combination.start(0))
        outer = [axis for axis in self.x.reduced if axis != self.axis]
        masked = emitter.target.has_masks
        wide, single = combination.start(self.lanes), [] if masked else combination.start(0)
        if combination.is_arg:  # the places of every lane's first element; what comes after the lanes loses ties
            wide[1], single[1:] = emitter.f.lanes_index(wide[1].type), [I64.const(-1)] * len(single[1:])
        finished = self._outer(outer, wide + single)
        width = len(wide)
        folded = fold_lanes(emitter.f, combination, finished[:width])
        return folded if masked else combination.join(emitter.f, folded, finished[width:])

    def _outer(self, axes: list[Axis], carried: list[Value]) -> list[Value]:
        if not axes:
            return self._inner(carried)
        emitter, axis = self.emitter, axes[0]
        with emitter.f.loop(I64.const(0), emitter.index(axis.size), 1, carried) as loop, emitter.binding(axis, loop.index):
            loop.next = self._outer(axes[1:], loop.carried)
        return loop.carried

    def _inner(self, carried: list[Value]) -> list[Value]:
        emitter, f = self.emitter, self.emitter.f
        size = emitter.index(self.axis.size)
        step = I64.const(self.lanes)
        whole = f.sub(size, f.rem(size, step)) if size.text.startswith("%") else I64.const(int(size.text) // self.lanes * self.lanes)
        width = len(self.combination.start(0))
        wide = carried[:width]
        if whole.text != "0":
            with f.loop(I64.const(0), whole, self.lanes, wide) as loop, emitter.vector(self.axis, loop.index, self.lanes, None):
                loop.next = self.combination.follow(f, loop.carried, self._element())
            wide = loop.carried
        if whole.text == size.text:
            return wide + carried[width:]
        if not emitter.target.has_masks:
            with f.loop(whole, size, 1, carried[width:]) as loop, emitter.binding(self.axis, loop.index):
                loop.next = self.combination.follow(f, loop.carried, self._element())
            return wide + loop.carried
        with f.loop(whole, size, self.lanes, wide) as loop:
            self._masked(loop, size)
        return loop.carried

    def _masked(self, loop: Loop, size: Value) -> None:
        emitter, f = self.emitter, self.emitter.f
        mask = f.tail_mask(f.sub(size, loop.index), self.lanes)
        with emitter.vector(self.axis, loop.index, self.lanes, mask):
            element = self._element()
            joined = self.combination.follow(f, loop.carried, element)
            loop.next = [f.select(mask, new, old) for new, old in zip(joined, loop.carried, strict=True)]

    def _element(self) -> list[Value]:
        emitter = self.emitter
        value = emitter.spread(emitter.value(self.x.body, self.guard))
        if not self.combination.is_arg:
            return [value]
        return [value, emitter.spread(emitter.index(as_size(self.x.reduced[0])))]


def known_sizes(x: Reduce) -> list[int]:
    """The sizes of the reduced axes, as far as they are numbers."""
    return [axis.size for axis in x.reduced if isinstance(axis.size, int)]


def is_unrolled(x: Reduce) -> bool:
    """Whether there are so few elements that code for each is worth more than a loop: indices become numbers, loads are shared.

    A sum of plain products gains nothing: its loads are all different, and unrolled they would spill.
    """
    if x.kind == "sum" and isinstance(x.body, Scalar) and x.body.function == "multiply" and all(isinstance(y, Load) for y in x.body.operands):
        return False
    sizes = known_sizes(x)
    return len(sizes) == len(x.reduced) and math.prod(sizes) <= UNROLLED and not any(isinstance(y, Reduce) for y in walk(x.body))


def sharing_axes(x: Reduce) -> tuple[Axis, ...]:
    """Short axes that elements have a load in common along, such as the halves of a packed byte: it is done once for all of them.

    Arg-reductions take their axes in order.
    """
    loads = [y for y in walk(x.body) if isinstance(y, Load)]
    reduced = set(x.reduced)

    def is_shared(axis: Axis) -> bool:
        return isinstance(axis.size, int) and 1 < axis.size <= SHARING and any(axis not in y.axes and y.axes & reduced for y in loads)

    if len(reduced) < 2 or x.kind.startswith("arg") or any(isinstance(y, Reduce) for y in walk(x.body)):
        return ()
    return tuple(axis for axis in x.reduced if is_shared(axis))


def fold_lanes(f: Function, combination: Combination, parts: list[Value]) -> list[Value]:
    """The lanes of a vector combined pairwise, halves first."""
    while (lanes := parts[0].type.lanes) > 1:
        half = lanes // 2
        low = [f.shuffle(part, part, range(half)) for part in parts]
        high = [f.shuffle(part, part, range(half, lanes)) for part in parts]
        parts = combination.join(f, low, high)
    return [f.extract(part, 0) for part in parts]


def contiguous_axis(x: Reduce) -> Axis:
    """The reduced axis along which most loads are contiguous; the last among equals."""
    loads = [y for y in walk(x.body) if isinstance(y, Load)]

    def score(axis: Axis) -> int:
        found = 0
        for y in loads:
            parts = linear_part(y.index[0], axis)
            found += 2 if parts is not None and parts[0] == 1 else 1 if parts is not None and parts[0] == 0 else 0
        return found

    return max(reversed(x.reduced), key=score)


def _dtypes(x: Reduce) -> list[str]:
    """Dtypes that decide how many elements fill a register: what is reduced, and floats on the way."""
    inner = {y.dtype for y in walk(x.body) if is_floating(y.dtype)}
    return sorted(inner | {x.body.dtype if x.body.dtype != "bool" else "int8"} | ({"int64"} if x.kind.startswith("arg") else set()))


def unroll_of(*roots: Expr) -> int:
    """How many registers one step covers: more for light work, whose latency must be hidden, fewer where registers would spill."""
    work = sum(TABLE[y.function].flops for y in walk(*roots) if isinstance(y, Scalar))
    loads = sum(isinstance(y, Load) for y in walk(*roots))
    heavy = max((TABLE[y.function].flops for y in walk(*roots) if isinstance(y, Scalar)), default=0)
    if heavy >= 10 or work > 24 or loads > 6:
        return 1 if work > 40 else 2
    return 4
