"""Maps that write runs of few elements whose reads lie far apart, each beside that of the run after: the gradient of a kernel, tap by tap.

    out[.., i, r..] = f(loads[.., i, r..], loads[.., r.., .., i])

Runs are shorter than a vector or leave much of the last one empty. A tile reads a vector along i for every place of a run and turns them in
registers; side by side in a small copy, runs are as long as the tile, and lanes go on through all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack

from graphdl.kernel.expression import Axis, Guard, IndexValue, Load, walk
from graphdl.kernel.program import Store
from graphdl.sizes import Dim, product

from ..contraction.transpose import transpose
from ..llvm import I1, I64, Value
from .affine import Flat, is_mergeable
from .function import KernelFunction
from .loops import store_all, vector_loop
from .registers import REGISTER
from .tiles import contiguous_axis_of, step_of

LONGEST = 128  # elements of a run
FEWEST = 8  # runs side by side that are worth a tile


def staged_axes(flat: Flat) -> int:
    """How many of the last axes are the runs of such a map; 0 if it is none."""
    last = itertools.takewhile(lambda count: isinstance(flat.axes[-count].size, int), range(1, len(flat.axes)))
    return next((count for count in last if _is_staged(flat, flat.axes[-count - 1 :])), 0)


def _is_staged(flat: Flat, axes: Sequence[Axis]) -> bool:
    """Whether the first of these axes is i, and the others are the run."""
    across, *run = axes
    length = product(axis.size for axis in run)
    few = isinstance(across.size, int) and across.size < FEWEST
    if few or not isinstance(length, int) or length > LONGEST:
        return False
    if any(store.axes != flat.axes or not _goes_through(store.index[0], axes) for store in flat.stores):
        return False
    if any(isinstance(x, (Guard, IndexValue)) for store in flat.stores for x in walk(store.value)):
        return False
    apart = _reads_apart(flat.stores, axes)
    return bool(apart) and all(contiguous_axis_of(flat, x) is across for x in apart)


def _reads_apart(stores: Sequence[Store], axes: Sequence[Axis]) -> list[Load]:
    """The loads that depend on these axes and do not go through them as through one."""
    loads = dict.fromkeys(x for store in stores for x in walk(store.value) if isinstance(x, Load))
    return [x for x in loads if not x.axes.isdisjoint(axes) and not _goes_through(x.index[0], axes)]


def _goes_through(offset: Dim, axes: Sequence[Axis]) -> bool:
    """Whether the axes are as one for this offset, neighbours along which are neighbours in memory."""
    return step_of(offset, axes[-1]) == 1 and all(is_mergeable(offset, first, second) for first, second in itertools.pairwise(axes))


def emit_staged(kernel: KernelFunction, stores: Sequence[Store], axes: Sequence[Axis], begin: Value, end: Value, lanes: int) -> None:
    """One tile: the first of the axes in [begin, end), which is at most `lanes` long, and all of the others, the run."""
    _Tile(kernel, stores, axes, lanes).emit(begin, end)


class _Tile:
    """Writes the code of one tile."""

    def __init__(self, kernel: KernelFunction, stores: Sequence[Store], axes: Sequence[Axis], lanes: int) -> None:
        self.kernel, self.f, self.emitter, self.stores, self.axes, self.lanes = kernel, kernel.f, kernel.emitter, stores, axes, lanes
        self.places = [*itertools.product(*(range(axis.size) for axis in axes[1:] if isinstance(axis.size, int)))]
        held = lanes * len(self.places) + lanes  # the last vector stored is not full either
        self.copies = {read: self.f.alloca(REGISTER[read.dtype], held) for read in _reads_apart(stores, axes)}

    def emit(self, begin: Value, end: Value) -> None:
        """Copy what is read apart, then go through all runs."""
        f, emitter, count = self.f, self.emitter, self.f.sub(end, begin)
        is_whole = f.compare("eq", count, I64.const(self.lanes))
        with f.when(is_whole):
            for read in self.copies:
                self._turn(read, begin)
        with f.when(f.bit_xor(is_whole, I1.const(True))), f.loop(begin, end) as loop:
            for read in self.copies:
                self._copy_run(read, loop.index, f.mul(f.sub(loop.index, begin), I64.const(len(self.places))))
        with ExitStack() as bound:
            for axis in self.axes[:-1]:
                bound.enter_context(emitter.binding(axis, begin if axis is self.axes[0] else I64.const(0)))
            elements = f.mul(count, I64.const(len(self.places)))
            vector_loop(self.kernel, self.axes[-1], I64.const(0), elements, self.lanes, self.lanes, self._store)
        emitter.sums = {}

    def _value(self, read: Load, place: Sequence[int]) -> Value:
        """What is read at a place of the run, or of all runs along the open lanes."""
        with self.f.apart(), ExitStack() as bound:
            for axis, number in zip(self.axes[1:], place, strict=True):
                bound.enter_context(self.emitter.binding(axis, I64.const(number)))
            return self.emitter.spread(self.emitter.value(read))

    def _turn(self, read: Load, begin: Value) -> None:
        """Whole vectors in, whole vectors out: what the last one of a run has too many is overwritten by the run after it."""
        f, scalar, size = self.f, REGISTER[read.dtype], len(self.places)
        for first in reversed(range(0, size, self.lanes)):
            with self.emitter.vector(self.axes[0], begin, self.lanes, None):
                rows = [self._value(read, place) for place in self.places[first : first + self.lanes]]
            columns = transpose(f, [*rows, *[rows[0]] * (self.lanes - len(rows))])
            for k, column in enumerate(columns):
                f.store(column, f.offset(self.copies[read], I64.const(k * size + first), scalar.scalar))

    def _copy_run(self, read: Load, number: Value, start: Value) -> None:
        """One run, element by element, to the place `start` of the copy."""
        f, scalar = self.f, REGISTER[read.dtype]
        with self.emitter.binding(self.axes[0], number):
            for k, place in enumerate(self.places):
                f.store(self._value(read, place), f.offset(self.copies[read], f.add(start, I64.const(k)), scalar.scalar))

    def _store(self) -> None:
        """The stores at the open lanes, which go through the runs."""
        f, emitter, lanes = self.f, self.emitter, self.emitter.lanes
        at = emitter.bound[self.axes[-1]] if lanes is None else lanes.base
        for read, copy in self.copies.items():
            scalar = REGISTER[read.dtype]
            place = f.offset(copy, at, scalar.scalar)
            emitter.sums[read.number] = f.load(place, scalar) if lanes is None else f.load(place, scalar.with_lanes(lanes.count), lanes.mask)
        store_all(emitter, self.stores)
