"""The kernel of windows over planes: a task copies a band of rows with their borders, and goes over it by blocks of sums in registers.

A row of the copy meets all taps of one column of the window and all rows of sums that it belongs to before the next one is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ..llvm import I1, I64, Value
from .affine import Flat
from .function import KernelFunction
from .loops import store_all
from .nest import digits, following
from .planes import Cut, Plane, blocks_of
from .registers import MEMORY
from .strided import picked_load


def emit_planes(kernel: KernelFunction, flat: Flat, plane: Plane, cut: Cut) -> None:
    """Write the body of a kernel function: a loop over its tasks."""
    f, emitter = kernel.f, kernel.emitter
    writer = _Writer(kernel, flat, plane, cut)
    counts = [*map(emitter.index, blocks_of(plane, cut)), I64.const(-(-plane.rows.count // cut.band))]
    with f.loop(kernel.begin, kernel.end, 1, digits(f, kernel.begin, counts)) as loop, ExitStack() as bound:
        loop.next = following(f, loop.carried, counts)
        *places, output, band = loop.carried
        for axis, value in zip(plane.outer, places, strict=False):
            bound.enter_context(emitter.binding(axis, value))
        writer.run(f.mul(output, I64.const(cut.outputs)), f.mul(band, I64.const(cut.band)))
    f.ret()


class _Writer:
    """Writes the code of one task."""

    def __init__(self, kernel: KernelFunction, flat: Flat, plane: Plane, cut: Cut) -> None:
        self.f, self.emitter, self.stores, self.plane, self.cut = kernel.f, kernel.emitter, flat.stores, plane, cut
        self.memory = MEMORY[plane.sums.dtype]
        self.vector = self.memory.with_lanes(cut.lanes)
        self.lines = plane.rows.reach(cut.band)
        self.copy = self.f.alloca(self.memory, self.lines * cut.row)
        self.weights = self.f.alloca(self.memory, plane.rows.taps * plane.columns.taps)
        self.places = self.f.alloca(I64, plane.columns.taps)
        for c in range(plane.columns.taps):
            self.f.store(I64.const(self._place(c)), self.f.offset(self.places, I64.const(c), "i64"))
        self.spill = self.f.alloca(self.vector, 1)

    def run(self, output: Value, first: Value) -> None:
        """The rows of results from `first` on, for as many neighbours from `output` on as see the same data."""
        f, rows, axis = self.f, self.plane.rows, self.plane.outer[-1]
        start = f.sub(f.mul(first, I64.const(rows.stride)), I64.const(rows.low))
        if self.cut.outputs == 1:
            with self.emitter.binding(axis, output):
                self._copy_rows(start)
                self._rows(first)
            return
        self._copy_rows(start)
        end = f.intrinsic("smin", I64, f.add(output, I64.const(self.cut.outputs)), self.emitter.index(axis.size))
        with f.loop(output, end) as loop, self.emitter.binding(axis, loop.index):
            self._rows(first)

    def _rows(self, first: Value) -> None:
        """The rows of results of one plane, of data that were copied."""
        f, rows = self.f, self.plane.rows
        self._copy_weights()
        count = f.intrinsic("smin", I64, I64.const(self.cut.band), f.sub(I64.const(rows.count), first))
        with f.loop(I64.const(0), count, self.cut.height) as row:
            line, begin = f.add(first, row.index), self._at(self.copy, f.mul(row.index, I64.const(rows.stride * self.cut.row)))
            if self.plane.columns.count <= self.cut.vectors * self.cut.lanes:
                self._finish(line, 0, self._sums(begin))
                return
            with f.loop(I64.const(0), I64.const(self.plane.columns.count), self.cut.vectors * self.cut.lanes) as column:
                self._finish(line, column.index, self._sums(self._at(begin, column.index)))

    def _at(self, pointer: Value, place: Value | int) -> Value:
        return self.f.offset(pointer, I64.const(place) if isinstance(place, int) else place, self.memory.scalar)

    # -- copies -------------------------------------------------------------------------------------------------------

    def _copy_weights(self) -> None:
        """All taps side by side."""
        emitter, rows, columns = self.emitter, self.plane.rows, self.plane.columns
        for r in range(rows.taps):
            for c in range(columns.taps):
                with self.f.apart(), ExitStack() as bound:
                    for axis, tap in ((rows.tap, r), (columns.tap, c)):
                        if axis is not None:
                            bound.enter_context(emitter.binding(axis, I64.const(tap)))
                    self.f.store(emitter.value(self.plane.weight), self._at(self.weights, c * rows.taps + r))

    def _copy_rows(self, first: Value) -> None:
        """The data's rows from `first` on, which may lie before them; those that are none are zeros."""
        f, lines = self.f, I64.const(self.lines)

        def within(x: Value, low: Value) -> Value:
            return f.intrinsic("smax", I64, low, f.intrinsic("smin", I64, x, lines))

        low = within(f.sub(I64.const(0), first), I64.const(0))
        high = within(f.sub(I64.const(self.plane.rows.size), first), low)
        origin = self.emitter.address(self.plane.element.buffer, self.plane.origin, self.memory)
        with f.loop(low, high) as loop:
            source = self._at(origin, f.mul(f.add(first, loop.index), I64.const(self.plane.row_step)))
            for k, value in enumerate(self._row(source)):
                f.store(value, self._at(self.copy, f.add(f.mul(loop.index, I64.const(self.cut.row)), I64.const(k * self.cut.lanes))))
        for begin, end in ((I64.const(0), low), (high, lines)):
            with f.loop(begin, end) as loop:
                for k in range(self.cut.row // self.cut.lanes):
                    f.store(self.vector.const(0.0), self._at(self.copy, f.add(f.mul(loop.index, I64.const(self.cut.row)), I64.const(k * self.cut.lanes))))

    def _row(self, source: Value) -> list[Value]:
        """A row of the data in vectors, phase by phase, with zeros around."""
        columns, lanes = self.plane.columns, self.cut.lanes
        starts = [k * lanes * columns.stride + phase - columns.low for phase in self.cut.phases for k in range(self.cut.pitch // lanes)]
        return [self._elements(source, start) for start in starts]

    def _elements(self, source: Value, start: int) -> Value:
        """The vector of elements a stride apart from place `start` of a row on."""
        step, lanes, size = self.plane.columns.stride, self.cut.lanes, self.plane.columns.size
        valid = [[0 <= start + part * lanes + k < size for k in range(lanes)] for part in range(step)]
        if not any(map(any, valid)):
            return self.vector.const(0.0)
        masks = [None if all(one) else _mask(one) for one in valid]
        pointer = self._at(source, start)
        return self.f.load(pointer, self.vector, masks[0]) if step == 1 else picked_load(self.f, pointer, self.vector, step, masks)

    # -- sums ---------------------------------------------------------------------------------------------------------

    def _place(self, c: int) -> int:
        """Where a tap of the first column of results is in a row of the copy."""
        at, stride = c * self.plane.columns.dilation, self.plane.columns.stride
        return self.cut.phases.index(at % stride) * self.cut.pitch + at // stride

    def _sums(self, start: Value) -> list[list[Value]]:
        """A block of sums, row by row; the window of the first one begins at `start` of the copy.

        A loop over the columns of the window, not written out: LLVM would compute one sum after the other, and load everything anew.
        """
        f, rows, cut = self.f, self.plane.rows, self.cut
        zero = [self.vector.const(0.0)] * (cut.height * cut.vectors)
        with f.loop(I64.const(0), I64.const(self.plane.columns.taps), carried=zero) as loop:
            weights = self._at(self.weights, f.mul(loop.index, I64.const(rows.taps)))
            taps = [f.splat(f.load(self._at(weights, r), self.memory), cut.lanes) for r in range(rows.taps)]
            column = self._at(start, f.load(f.offset(self.places, loop.index, "i64"), I64))
            loop.next = self._column(column, taps, loop.carried)
        return [loop.carried[u * cut.vectors : (u + 1) * cut.vectors] for u in range(cut.height)]

    def _column(self, start: Value, taps: Sequence[Value], sums: Sequence[Value]) -> list[Value]:
        """One column of the window: every row of the copy is loaded once, for all sums that it belongs to."""
        f, rows, cut, found = self.f, self.plane.rows, self.cut, [*sums]
        for line in range(rows.reach(cut.height)):
            met = [(u, r) for u in range(cut.height) for r in range(rows.taps) if u * rows.stride + r * rows.dilation == line]
            for v in range(cut.vectors if met else 0):
                value = f.load(self._at(start, line * cut.row + v * cut.lanes), self.vector)
                for u, r in met:
                    found[u * cut.vectors + v] = f.fma(taps[r], value, found[u * cut.vectors + v])
        return found

    def _finish(self, first: Value, column: Value | int, sums: Sequence[Sequence[Value]]) -> None:
        """Store a block of sums, as far as there are results; a number for the column if there is one block only."""
        f, rows = self.f, self.plane.rows
        for u, vectors in enumerate(sums):
            row = f.add(first, I64.const(u))
            is_row = f.compare("slt", row, I64.const(rows.count)) if rows.count % self.cut.height else I1.const(True)
            for v, value in enumerate(vectors):
                with f.when(is_row), self.emitter.binding(rows.windows, row):
                    self._store(column + v * self.cut.lanes if isinstance(column, int) else f.add(column, I64.const(v * self.cut.lanes)), value)

    def _store(self, column: Value | int, value: Value) -> None:
        """Store a vector of sums from `column` on: under a mask, or where masks are slow whole or one by one."""
        f, lanes, count = self.f, self.cut.lanes, self.plane.columns.count
        base = I64.const(column) if isinstance(column, int) else column
        left = I64.const(count - column) if isinstance(column, int) else f.sub(I64.const(count), base)
        if self.emitter.target.has_masks:
            on = [k < count - column for k in range(lanes)] if isinstance(column, int) else []
            self._store_lanes(base, value, lanes, _mask(on) if on else f.tail_mask(left, lanes))
            return
        is_whole = f.compare("sge", left, I64.const(lanes))
        with f.when(is_whole):
            self._store_lanes(base, value, lanes, None)
        with f.when(f.bit_xor(is_whole, I1.const(True))):
            f.store(value, self.spill)
            with f.loop(I64.const(0), left) as loop:
                self._store_lanes(f.add(base, loop.index), f.load(self._at(self.spill, loop.index), self.memory), 0, None)

    def _store_lanes(self, column: Value, value: Value, lanes: int, mask: Value | None) -> None:
        emitter = self.emitter
        with emitter.vector(self.plane.columns.windows, column, lanes, mask):
            emitter.sums = {self.plane.sums.number: value}
            store_all(emitter, self.stores)
            emitter.sums = {}


def _mask(on: Sequence[bool]) -> Value:
    """A constant mask."""
    return Value("<" + ", ".join(f"i1 {str(one).lower()}" for one in on) + ">", I1.with_lanes(len(on)))
