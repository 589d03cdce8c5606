"""The few columns of an output that would fill only a part of a vector: dot products, while the rows of A are in the nearest cache."""

from __future__ import annotations

from graphdl.record import record

from ..llvm import I64, PTR, Function, Value
from .dot_kernel import dot_kernel
from .interface import Parts
from .kernel import call_kernel
from .pieced_pack import slot
from .schedule import Schedule


@record(slots=True)
class Steps:
    """A block of the steps of k; `is_first` and `is_last` (i1) of all of them."""

    first: Value
    count: Value
    is_first: Value
    is_last: Value


class RestColumns:
    """Writes the code for the columns that `Schedule.rest` counts; `shared` panels are packed before theirs."""

    def __init__(self, f: Function, schedule: Schedule, parts: Parts, shared: Value) -> None:
        assert parts.pieces
        self.f, self.schedule, self.parts, self.pieces, self.shared = f, schedule, parts, parts.pieces, shared
        self.scalar, self.tile, self.columns = schedule.scalar.scalar, schedule.rest_tile, I64.const(schedule.rest)
        self.width = I64.const(self.tile.vectors)
        self.size = -(-schedule.table.full.rows // self.tile.rows) * self.tile.rows * self.tile.vectors  # dot products write whole tiles
        self.sums = f.alloca(schedule.scalar, self.size * schedule.cut.group_tiles)
        self.partial = f.alloca(schedule.scalar, self.size)

    def add(self, batch: Value, row: Value, rows: Value, a: tuple[Value, Value, Value], place: Value, steps: Steps) -> None:
        """The sums for `rows` rows of A from `a` on over one block of k, kept at `place` of the group; finished with the last one."""
        f = self.f
        sums = f.offset(self.sums, f.mul(place, I64.const(self.size)), self.scalar)
        self._multiply(batch, rows, a, steps, f.select(steps.is_first, sums, self.partial))
        with f.when(f.bit_xor(steps.is_first, steps.is_first.type.const(True))), f.loop(I64.const(0), f.mul(rows, self.width)) as loop:
            total, part = (f.load(f.offset(tile, loop.index, self.scalar), self.schedule.scalar) for tile in (sums, self.partial))
            f.store(f.add(total, part), f.offset(sums, loop.index, self.scalar))
        with f.when(steps.is_last):
            column = f.sub(self.parts.n, self.columns)
            self.pieces.finish(f, batch, row, rows, column, self.columns, sums, self.width)

    def _multiply(self, batch: Value, rows: Value, a: tuple[Value, Value, Value], steps: Steps, sums: Value) -> None:
        """A few rows at a time."""
        f, schedule = self.f, self.schedule
        left, left_row, _ = a
        taps = I64.const(schedule.b.taps)
        right = f.offset(slot(f, schedule, self.parts, f.add(self.shared, batch)), f.mul(steps.first, taps), self.scalar)
        name = dot_kernel(f.module, schedule.scalar, schedule.lanes, self.tile, masked=schedule.target.has_masks)
        with f.loop(I64.const(0), rows, self.tile.rows) as loop:
            from_row = f.offset(left, f.mul(loop.index, left_row), self.scalar)
            target = f.offset(sums, f.mul(loop.index, self.width), self.scalar)
            arguments = from_row, left_row, right, self.parts.k, f.mul(steps.count, taps), target, self.width, f.sub(rows, loop.index), self.columns
            call_kernel(f, Value(f"@{name}", PTR), arguments)
