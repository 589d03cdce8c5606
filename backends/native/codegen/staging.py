"""Maps that write runs of few elements, computed from what lies side by side across them: a kernel's gradient tap by tap, windows' shares of a row.

    out[.., i, r..] = f(loads[.., i, r..], g(loads[.., r.., .., i]))

Runs are shorter than a vector or leave much of the last one empty. A tile computes each g along i for every place of a run and turns the vectors
in registers; side by side in a small copy, runs are as long as the tile, and lanes go on through all of them for f.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack

from graphdl.kernel.expression import Axis, Expr, Guard, Load, Loaded, Reduce, index_atoms, walk
from graphdl.kernel.program import Store
from graphdl.sizes import Dim, product

from ..contraction.transpose import interleave, transpose
from ..llvm import I64, Value
from .affine import Flat, go_as_one, step_of
from .function import KernelFunction
from .loops import store_all, vector_loop
from .registers import REGISTER
from .strided import MOST

LONGEST = 64  # elements of a run
FEWEST = 4  # runs side by side that are worth a tile


def staged_axes(flat: Flat, lanes: int) -> tuple[Axis, ...]:
    """The axes i, r.. of such a map, whose vectors have so many lanes; none if it is none."""
    *_, last = flat.axes
    turned = [(last, before) for before in flat.axes[-2:-1] if isinstance(before.size, int) and before.size <= MOST]
    counts = itertools.takewhile(lambda count: isinstance(flat.axes[-count].size, int), range(1, len(flat.axes)))
    candidates = *turned, *(flat.axes[-count - 1 :] for count in counts)
    return next((axes for axes in candidates if _is_staged(flat, axes, lanes)), ())


def _is_staged(flat: Flat, axes: Sequence[Axis], lanes: int) -> bool:
    across, *run = axes
    length = product(axis.size for axis in run)
    few = isinstance(across.size, int) and across.size < FEWEST
    if few or not isinstance(length, int) or not 1 < length <= LONGEST or length % lanes == 0:
        return False
    if any(store.axes != flat.axes or not _goes_through(store.index[0], axes) for store in flat.stores):
        return False
    parts = parts_across(flat.stores, axes)
    if not parts or any(x.dtype == "bool" for x in parts):
        return False
    loads = {x for part in parts for x in walk(part) if isinstance(x, Load) and across in x.axes}
    differ = length <= MOST or any(not x.axes.isdisjoint(run) for x in loads)
    return differ and bool(loads) and all(step_of(x.index[0], across) == 1 and not any(isinstance(y, Loaded) for y in index_atoms(x)) for x in loads)


def parts_across(stores: Sequence[Store], axes: Sequence[Axis]) -> list[Expr]:
    """The largest expressions that depend on these axes and read nothing along them as along one; none if something else is in the way."""
    parts: dict[Expr, None] = {}
    stack = [store.value for store in stores]
    while stack:
        x = stack.pop()
        if x.axes.isdisjoint(axes) or x in parts or _is_along(x, axes):
            continue
        if not any(_is_along(y, axes) for y in walk(x)):
            parts[x] = None
        elif isinstance(x, (Guard, Reduce, Load)):
            return []
        else:
            stack.extend(x.operands)
    return [*parts]


def _is_along(x: Expr, axes: Sequence[Axis]) -> bool:
    return isinstance(x, Load) and _goes_through(x.index[0], axes)


def _goes_through(offset: Dim, axes: Sequence[Axis]) -> bool:
    """Whether the axes are as one for this offset, neighbours along which are neighbours in memory."""
    return step_of(offset, axes[-1]) == 1 and go_as_one(offset, axes)


def emit_staged(kernel: KernelFunction, stores: Sequence[Store], axes: Sequence[Axis], begin: Value, end: Value, lanes: int) -> None:
    """The runs of numbers in [begin, end), `lanes` of them at a time."""
    f, tile = kernel.f, _Tile(kernel, stores, axes, lanes)
    known = None if "%" in begin.text + end.text else int(end.text) - int(begin.text)
    split = f.sub(end, f.rem(f.sub(end, begin), I64.const(lanes))) if known is None else I64.const(int(end.text) - known % lanes)
    if known is None or known >= lanes:
        with f.loop(begin, split, lanes) as loop:
            tile.whole(loop.index)
    if known is None or known % lanes:
        with f.loop(split, end, lanes if tile.emitter.target.has_masks else 1) as loop:
            tile.rest(loop.index, f.sub(end, loop.index))


class _Tile:
    """Writes the code of one tile."""

    def __init__(self, kernel: KernelFunction, stores: Sequence[Store], axes: Sequence[Axis], lanes: int) -> None:
        self.kernel, self.f, self.emitter, self.stores, self.lanes = kernel, kernel.f, kernel.emitter, stores, lanes
        self.across, *self.run = axes
        self.places = [*itertools.product(*(range(axis.size) for axis in self.run if isinstance(axis.size, int)))]
        held = lanes * len(self.places) + lanes  # whole vectors are stored at the end too
        self.copies = {part: self.f.alloca(REGISTER[part.dtype], held) for part in parts_across(stores, axes)}

    def whole(self, begin: Value) -> None:
        """As many runs as lanes."""
        self._turn(begin, None)
        self._finish(begin, I64.const(self.lanes * len(self.places)))

    def rest(self, begin: Value, count: Value) -> None:
        """Fewer than that; one where masks are slow."""
        f, size = self.f, I64.const(len(self.places))
        if self.emitter.target.has_masks:
            self._turn(begin, f.tail_mask(count, self.lanes))
            self._finish(begin, f.mul(count, size))
            return
        for part, copy in self.copies.items():
            for k, place in enumerate(self.places):
                f.store(self._value(part, place, begin, 0, None), self._at(part, copy, I64.const(k)))
        self._finish(begin, size)

    def _at(self, part: Expr, copy: Value, place: Value) -> Value:
        return self.f.offset(copy, place, REGISTER[part.dtype].scalar)

    def _value(self, part: Expr, place: Sequence[int], begin: Value, count: int, mask: Value | None) -> Value:
        """A part at a place of the runs from `begin` on, one to a lane; of one run if `count` is 0."""
        with self.f.apart(), ExitStack() as bound:
            for axis, number in zip(self.run, place, strict=True):
                bound.enter_context(self.emitter.binding(axis, I64.const(number)))
            bound.enter_context(self.emitter.vector(self.across, begin, count, mask))
            return self.emitter.spread(self.emitter.value(part))

    def _turn(self, begin: Value, mask: Value | None) -> None:
        """Compute the parts, and store runs side by side. What a vector has after the end of a run is overwritten by the run after it."""
        f, lanes, size = self.f, self.lanes, len(self.places)
        for part, copy in self.copies.items():
            for first in reversed(range(0, size, lanes)):
                rows = [self._value(part, place, begin, lanes, mask) for place in self.places[first : first + lanes]]
                if lanes % size == 0:
                    starts, vectors = range(0, size * lanes, lanes), interleave(f, rows)
                else:
                    starts, vectors = range(first, first + size * lanes, size), transpose(f, rows + rows[:1] * (lanes - len(rows)))
                for start, vector in zip(starts, vectors, strict=True):
                    f.store(vector, self._at(part, copy, I64.const(start)))

    def _finish(self, begin: Value, elements: Value) -> None:
        """The stores, in lanes that go through all runs."""
        with ExitStack() as bound:
            bound.enter_context(self.emitter.binding(self.across, begin))
            for axis in self.run[:-1]:
                bound.enter_context(self.emitter.binding(axis, I64.const(0)))
            vector_loop(self.kernel, self.run[-1], I64.const(0), elements, self.lanes, self.lanes, self._store)
        self.emitter.sums = {}

    def _store(self) -> None:
        """The stores at the open lanes, whose parts are loaded from their copies."""
        lanes = self.emitter.lanes
        at = self.emitter.bound[self.run[-1]] if lanes is None else lanes.base
        for part, copy in self.copies.items():
            type, place = REGISTER[part.dtype], self._at(part, copy, at)
            self.emitter.sums[part.number] = self.f.load(place, type) if lanes is None else self.f.load(place, type.with_lanes(lanes.count), lanes.mask)
        store_all(self.emitter, self.stores)
