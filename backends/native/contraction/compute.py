"""The kernel that computes the output: one task is one tile, so any split of the tasks over threads gives the same bits.

Tasks follow each other down a group of tiles under one panel of B, then along the panels, then to the next group, so that a run of
them streams each panel once while the group's rows of A stay in the second-level cache (the loop order of Goto & van de Geijn 2008).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from ..llvm import I1, I64, Function, Module, Value
from . import dot_kernel, micro_kernel
from .dispatch import MicroKernels
from .interface import Direct, Epilogue, Operand, Parts
from .kernel import Prepare, least, open_kernel, split
from .matrices import Store
from .pack import row_address
from .schedule import Emitted, Schedule, Shape

GROUP = 8


@dataclass(frozen=True, slots=True)
class _Task:
    """One tile of the output."""

    batch: Value
    row: Value
    rows: Value
    column: Value
    columns: Value


def compute(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> str:
    """Emit the compute kernel."""
    f, parts, shape = open_kernel(module, name, prepare)
    writer = _Compute(f, schedule, parts, shape)
    with f.loop(f.parameters[1], f.parameters[2]) as loop:
        writer.run(loop.index)
    f.ret()
    return name


class _Compute:
    """Writes the body of the compute kernel."""

    def __init__(self, f: Function, schedule: Schedule, parts: Parts, shape: Shape[Emitted]) -> None:
        self.f, self.schedule, self.parts, self.shape = f, schedule, parts, shape
        self.scalar = schedule.scalar.scalar
        self.tiles, self.panels = schedule.tiles(shape).value, schedule.panels(shape).value
        self.width = schedule.task_columns(shape).value
        self.dots = self._flag(schedule.uses_dots(shape))
        self.packed_b = self._flag(schedule.packs_b(shape))
        self.kernels = MicroKernels(f, schedule, parts.m)
        self.epilogue: Epilogue = parts.epilogue
        if parts.epilogue.direct:
            self.epilogue = _DirectEpilogue(parts.epilogue.direct, Store(parts.epilogue.direct, schedule.scalar))
        self.scratch_row = I64.const(max(tile.vectors for tile in (schedule.table.full, *schedule.flat)) * schedule.lanes)
        self.scratch = f.alloca(schedule.scalar, schedule.table.full.rows * int(self.scratch_row.text))

    def _flag(self, condition: Emitted) -> Value:
        return self.f.compare("ne", condition.value, I64.const(0)) if condition.value.text.startswith("%") else I1.const(condition.value.text != "0")

    def run(self, index: Value) -> None:
        task = self._locate(index)
        f = self.f
        in_place = self._stores_in_place(task)
        if self.schedule.has_dots:
            with f.when(self.dots):
                self._dots(task)
        with self._unless(self.dots):
            self._tile(task, in_place)
        if in_place.text != "true":
            with self._unless(in_place):
                self._finish(task)

    def _unless(self, condition: Value) -> AbstractContextManager[None]:
        return self.f.when(self.f.bit_xor(condition, I1.const(True)))

    def _locate(self, index: Value) -> _Task:
        """The tile of a task. Heights differ by at most one row, so that no tile is left with a few rows only."""
        f = self.f
        group = I64.const(GROUP)
        batch, rest = split(f, index, f.mul(self.tiles, self.panels))
        block, rest = split(f, rest, f.mul(group, self.panels))
        first = f.mul(block, group)
        panel, tile = split(f, rest, least(f, group, f.sub(self.tiles, first)))
        tile = f.add(first, tile)
        height, taller = split(f, self.parts.m, self.tiles)
        row = f.add(f.mul(tile, height), least(f, tile, taller))
        rows = f.add(height, f.convert("zext", f.compare("slt", tile, taller), I64))
        column = f.mul(panel, self.width)
        return _Task(batch, row, rows, column, least(f, self.width, f.sub(self.parts.n, column)))

    def _stores_in_place(self, task: _Task) -> Value:
        """Whether the micro-kernel writes the output itself: not if an expression follows, nor if it cannot leave out columns."""
        f = self.f
        if not self.parts.epilogue.direct:
            return I1.const(False)
        tiled = f.bit_xor(self.dots, I1.const(True))
        if self.schedule.target.has_masks:
            return tiled
        return f.bit_and(tiled, f.compare("eq", task.columns, self.width))

    # -- sums -----------------------------------------------------------------------------------------------------

    def _dots(self, task: _Task) -> None:
        """Dot products of the tile's rows with a few columns at a time."""
        f = self.f
        a, b = self.parts.a.direct, self.parts.b.direct
        assert a and b
        kernel, step = self.kernels.dots(task.rows)
        left = row_address(f, a, self.scalar, task.batch, task.row)
        with f.loop(I64.const(0), task.columns, step) as loop:
            right = row_address(f, b, self.scalar, task.batch, f.add(task.column, loop.index))
            arguments = (
                left, a.row_stride, right, b.row_stride, self.parts.k, f.offset(self.scratch, loop.index, self.scalar), self.scratch_row,
                task.rows, f.sub(task.columns, loop.index),
            )  # fmt: skip
            _call(f, kernel, arguments)

    def _tile(self, task: _Task, in_place: Value) -> None:
        """Panel by panel through the full micro-kernels, or at one stroke when the task is as wide as a flat tile."""
        f, schedule = self.f, self.schedule
        c, c_row = self._destination(task, in_place)
        a = self._left(task)
        whole = I64.const(schedule.panel_columns)

        def multiply(kernel: Value, column: Value, columns: Value) -> None:
            b, b_k = self._right(task.batch, f.add(task.column, column))
            _call(f, kernel, (*a, b, b_k, self.parts.k, f.offset(c, column, self.scalar), c_row, columns))

        if not schedule.flat:
            multiply(self.kernels.full(task.rows), I64.const(0), task.columns)
            return
        is_flat = f.bit_and(f.compare("sgt", self.width, whole), f.compare("eq", task.columns, self.width))
        with f.when(is_flat):
            multiply(self.kernels.flat(task.rows), I64.const(0), task.columns)
        with self._unless(is_flat), f.loop(I64.const(0), task.columns, whole) as loop:
            multiply(self.kernels.full(task.rows), loop.index, f.sub(task.columns, loop.index))

    def _destination(self, task: _Task, in_place: Value) -> tuple[Value, Value]:
        f, direct = self.f, self.parts.epilogue.direct
        if not direct:
            return self.scratch, self.scratch_row
        output = f.offset(row_address(f, direct, self.scalar, task.batch, task.row), task.column, self.scalar)
        return f.select(in_place, output, self.scratch), f.select(in_place, direct.row_stride, self.scratch_row)

    def _left(self, task: _Task) -> tuple[Value, Value, Value]:
        """Pointer, row stride and k stride of the tile's rows of A."""
        f, schedule, one = self.f, self.schedule, I64.const(1)
        if not schedule.packs_a:
            assert self.parts.a.direct
            direct = self.parts.a.direct
            return row_address(f, direct, self.scalar, task.batch, task.row), direct.row_stride, direct.column_stride
        assert self.parts.packed_a
        rows, extent = schedule.packed_a_extents(self.shape)
        leading = schedule.leading_dimension(extent).value
        batch = task.batch if schedule.a.batched else I64.const(0)
        start = f.offset(self.parts.packed_a, f.mul(batch, f.mul(rows.value, leading)), self.scalar)
        if schedule.a.contiguous == "mn":
            return f.offset(start, task.row, self.scalar), one, leading
        return f.offset(start, f.mul(task.row, leading), self.scalar), leading, one

    def _right(self, batch: Value, column: Value) -> tuple[Value, Value]:
        """Pointer and k stride of B from `column` on, packed or in place."""
        f, schedule = self.f, self.schedule
        packed = (self._packed_panel(batch, column), I64.const(schedule.panel_columns)) if self.parts.packed_b else None
        if not schedule.reads_b_in_place:
            assert packed
            return packed
        direct = self.parts.b.direct
        assert direct
        in_place = f.offset(row_address(f, direct, self.scalar, batch, I64.const(0)), f.mul(column, direct.row_stride), self.scalar)
        if not packed:
            return in_place, direct.column_stride
        return f.select(self.packed_b, packed[0], in_place), f.select(self.packed_b, packed[1], direct.column_stride)

    def _packed_panel(self, batch: Value, column: Value) -> Value:
        f, schedule = self.f, self.schedule
        assert self.parts.packed_b
        width = I64.const(schedule.panel_columns)
        panel, _ = split(f, column, width)
        if schedule.b.batched:
            panel = f.add(panel, f.mul(batch, schedule.packed_panels(self.shape).value))
        return f.offset(self.parts.packed_b, f.mul(panel, f.mul(self.parts.k, width)), self.scalar)

    # -- epilogue -------------------------------------------------------------------------------------------------

    def _finish(self, task: _Task) -> None:
        """Run the epilogue over the tile in the scratch, row by row: whole vectors, then the tail."""
        f, lanes = self.f, self.schedule.lanes
        whole = f.mul(f.emit(I64, f"udiv {task.columns.typed}, {lanes}"), I64.const(lanes))
        with f.loop(I64.const(0), task.rows) as row:
            with f.loop(I64.const(0), whole, lanes) as column:
                self._finish_vector(task, row.index, column.index, lanes, None)
            if not self.schedule.target.has_masks:
                with f.loop(whole, task.columns) as column:
                    self._finish_vector(task, row.index, column.index, 0, None)
                return
            with f.when(f.compare("slt", whole, task.columns)):
                self._finish_vector(task, row.index, whole, lanes, f.tail_mask(f.sub(task.columns, whole), lanes))

    def _finish_vector(self, task: _Task, row: Value, column: Value, lanes: int, mask: Value | None) -> None:
        f = self.f
        address = f.offset(self.scratch, f.add(f.mul(row, self.scratch_row), column), self.scalar)
        value = f.load(address, self.schedule.scalar.with_lanes(lanes))
        self.epilogue.store(f, task.batch, f.add(task.row, row), f.add(task.column, column), value, mask)


@dataclass(frozen=True, slots=True)
class _DirectEpilogue:
    """The plain store of tiles that the micro-kernel could not store itself."""

    direct: Direct | None
    matrix: Store

    def store(self, f: Function, batch: Value, m: Value, n: Value, value: Value, mask: Value | None) -> None:
        self.matrix.store(f, batch, m, n, value, mask)


def _call(f: Function, kernel: Value, arguments: tuple[Value, ...]) -> None:
    f.void(f"call void {kernel.text}({', '.join(argument.typed for argument in arguments)})")
