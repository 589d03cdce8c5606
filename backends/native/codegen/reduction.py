"""Reductions inside kernels, in a fixed order: the same bits for any number of threads.

Where the vector axis is open and the body depends on it, every lane reduces for itself. Otherwise the lanes run along the
reduced axis that is contiguous in memory, and are combined in a tree at the end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from graphdl.kernel.expression import Axis, Expr, Load, Reduce, Scalar, substitute_axes, walk
from graphdl.kernel.functions import TABLE
from graphdl.sizes import Atom, Dim, as_size
from graphdl.types import is_floating

from ..llvm import I64, Loop, Value
from .affine import linear_part
from .combination import Combination, Several, lane_combination
from .emitter import Emitter
from .fetch import fetch_ahead, streams_of
from .registers import itemsize

MANY = 32  # vector registers that hold the intermediate values of four exponentials, and their coefficients
UNROLLED = 32  # elements of a reduction for which there is code one by one: the taps of a window
OTHERS = 4  # registers for what is loaded while several reductions go on together
SHARING = 4  # elements along an axis for which there is code one by one if they share a load


def emit_reduction(emitter: Emitter, x: Reduce, guard: Expr | None) -> Value:
    """The value of a reduction at the open point."""
    combination = Combination(x.kind, x.body.dtype)
    lanes = emitter.lanes
    if lanes is not None and lanes.axis in (x.axes | guard.axes if guard is not None else x.axes):
        parts = _Sequential(emitter, x, combination, guard).run(combination.start(emitter.f, lanes.count))
    else:
        parts = _Vectorised(emitter, x, combination, guard).run()
    return parts[-1]


def emit_together(emitter: Emitter, x: Reduce, bodies: Sequence[Expr]) -> list[Value]:
    """The values of several reductions at the open point, all as `x` with other bodies, in one loop."""
    return _Vectorised(emitter, x, _together(Combination(x.kind, x.body.dtype), len(bodies)), None, bodies).run()


def _together(one: Combination, count: int) -> Combination:
    return one if count == 1 else Several(one.kind, one.dtype, one, count)


class _Sequential:
    """Plain loops over the reduced axes; lanes, if any are open, belong to another axis."""

    def __init__(self, emitter: Emitter, x: Reduce, combination: Combination, guard: Expr | None, bodies: Sequence[Expr] = ()) -> None:
        self.emitter, self.x, self.combination, self.guard, self.bodies = emitter, x, combination, guard, bodies or [x.body]

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
        found = [emitter.spread(emitter.value(substitute_axes(body, places), self.guard)) for body in self.bodies]
        return [*found, emitter.spread(I64.const(point[0]))] if self.combination.is_arg else found

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
        found = [emitter.spread(emitter.value(body, self.guard)) for body in self.bodies]
        return [*found, emitter.spread(emitter.index(as_size(self.x.reduced[0])))] if self.combination.is_arg else found


class _Vectorised(_Sequential):
    """Lanes run along one reduced axis: whole blocks, then the rest under a mask (or one by one where masks are slow)."""

    def run(self, start: list[Value] | None = None) -> list[Value]:
        emitter, combination = self.emitter, self.combination
        self.axis = contiguous_axis(self.x)
        self.single = emitter.target.vector_bytes // max(itemsize(dtype) for dtype in _dtypes(self.x))
        self.single = max(self.single, 1)
        size = self.axis.size
        self.lanes = self.single * unroll_of(emitter.target.vector_registers, self.x.body)
        while isinstance(size, int) and self.lanes > self.single and size < 2 * self.lanes:
            self.lanes //= 2
        while self.lanes > self.single and self.lanes // self.single * len(self.bodies) > emitter.target.vector_registers - OTHERS:
            self.lanes //= 2
        if (isinstance(size, int) and (size < 4 or size < self.single // 4)) or self.single == 1:
            return _Sequential.run(self, combination.start(emitter.f, 0))
        outer = [axis for axis in self.x.reduced if axis != self.axis]
        masked = emitter.target.has_masks
        one = lane_combination(self.x.kind, self.x.body.dtype, self.lanes // self.single, has_masks=masked)
        combination = self.combination = _together(one, len(self.bodies))
        wide, single = combination.start(emitter.f, self.lanes), [] if masked else combination.start(emitter.f, 0)
        if combination.is_arg:  # the places of every lane's first element; what comes after the lanes loses ties
            wide[1], single[1:] = emitter.f.lanes_index(wide[1].type), [I64.const(-1)] * len(single[1:])
        finished = self._outer(outer, wide + single)
        width = len(wide)
        folded = combination.fold(emitter.f, finished[:width])
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
        width = len(self.combination.start(emitter.f, 0))
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
            loop.next = self.combination.follow_some(f, loop.carried, self._element(), mask)


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


def unroll_of(registers: int, *roots: Expr) -> int:
    """How many vectors one step covers: four hide the latency of what is computed, fewer where so many registers would spill."""
    work = sum(TABLE[y.function].flops for y in walk(*roots) if isinstance(y, Scalar))
    loads = sum(isinstance(y, Load) for y in walk(*roots))
    heavy = max((TABLE[y.function].flops for y in walk(*roots) if isinstance(y, Scalar)), default=0)
    if registers >= MANY:
        return 2 if loads > 6 and work > 40 else 4
    if heavy >= 10 or work > 24 or loads > 6:
        return 1 if work > 40 else 2
    return 4
