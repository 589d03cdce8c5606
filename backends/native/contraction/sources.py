"""Where the compute kernel finds its operands: packed, or in place."""

from __future__ import annotations

from graphdl.record import record

from ..llvm import I64, PTR, Function, Value
from .interface import Parts
from .kernel import split
from .pack import row_address
from .quantity import Emitted, Shape
from .schedule import Schedule


@record(slots=True)
class Sources:
    """Addresses of both operands in the kernel function `f`; `packs_a` and `packs_b` (i1) tell what was packed."""

    f: Function
    schedule: Schedule
    parts: Parts
    shape: Shape[Emitted]
    packs_a: Value
    packs_b: Value

    @property
    def scalar(self) -> str:
        return self.schedule.scalar.scalar

    def left(self, batch: Value, row: Value, first: Value) -> tuple[Value, Value, Value]:
        """Pointer, row stride and k stride of A from `row` and k = `first` on."""
        f, direct = self.f, self.parts.a.direct
        start, row_stride, k_stride = Value("null", PTR), I64.const(0), I64.const(0)
        if self.packs_a.text != "false":
            start, row_stride, k_stride = self._packed_rows(batch, row)
        if direct:
            in_place = row_address(f, direct, self.scalar, batch, row)
            start = f.select(self.packs_a, start, in_place)
            row_stride, k_stride = f.select(self.packs_a, row_stride, direct.row_stride), f.select(self.packs_a, k_stride, direct.column_stride)
        return f.offset(start, f.mul(first, k_stride), self.scalar), row_stride, k_stride

    def _packed_rows(self, batch: Value, row: Value) -> tuple[Value, Value, Value]:
        f, schedule, one = self.f, self.schedule, I64.const(1)
        assert self.parts.packed_a
        rows, extent = schedule.packed_a_extents(self.shape)
        leading = schedule.leading_dimension(extent).value
        row_stride, k_stride = (one, leading) if schedule.a.contiguous == "mn" else (leading, one)
        batch = batch if schedule.a.batched else I64.const(0)
        place = f.add(f.mul(batch, f.mul(rows.value, leading)), f.mul(row, row_stride))
        return f.offset(self.parts.packed_a, place, self.scalar), row_stride, k_stride

    def right(self, batch: Value, column: Value, first: Value) -> tuple[Value, Value]:
        """Pointer and k stride of B from `column` and k = `first` on, packed or in place; for the stride a table, if there is one."""
        f, schedule = self.f, self.schedule
        if schedule.indexes_b:
            return self._by_table(batch, column, first)
        start, k_stride = Value("null", PTR), I64.const(schedule.panel_columns)
        if self.packs_b.text != "false":
            start = self._packed_panel(batch, column)
        if schedule.reads_b_in_place:
            direct = self.parts.b.direct
            assert direct
            origin = f.offset(direct.pointer, f.mul(batch, direct.batch_stride), self.scalar)
            in_place = f.offset(origin, f.mul(column, direct.row_stride), self.scalar)
            start, k_stride = f.select(self.packs_b, start, in_place), f.select(self.packs_b, k_stride, direct.column_stride)
        return f.offset(start, f.mul(first, k_stride), self.scalar), k_stride

    def _by_table(self, batch: Value, column: Value, first: Value) -> tuple[Value, Value]:
        indexed, table = self.parts.b.indexed, self.parts.packed_b
        assert indexed
        assert table
        origin = self.f.offset(indexed.pointer, indexed.origin(batch), self.scalar)
        return self.f.offset(origin, column, self.scalar), self.f.offset(table, first, "i64")

    def _packed_panel(self, batch: Value, column: Value) -> Value:
        f, schedule = self.f, self.schedule
        assert self.parts.packed_b
        width = I64.const(schedule.panel_columns)
        panel, _ = split(f, column, width)
        if schedule.b.batched:
            panel = f.add(panel, f.mul(batch, schedule.packed_panels(self.shape).value))
        return f.offset(self.parts.packed_b, f.mul(panel, f.mul(schedule.depth(self.shape).value, width)), self.scalar)
