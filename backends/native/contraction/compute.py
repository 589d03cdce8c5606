"""The kernel that computes the output: one task is one tile, so any split of the tasks over threads gives the same bits.

Tasks follow each other down a group of tiles under one panel of B, then along the panels, then to the next group, so that a run of
them streams each panel once while the group's rows of A stay in the second-level cache (the loop order of Goto & van de Geijn 2008).
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from graphdl.record import record

from ..llvm import I1, I64, Function, Module, Value
from .ahead import Ahead
from .dispatch import MicroKernels
from .interface import Epilogue, Parts
from .kernel import Prepare, call_kernel, least, open_kernel, split
from .matrices import Store
from .pack import row_address
from .quantity import Emitted, Shape
from .schedule import Schedule
from .sources import Sources
from .zeros import Zeros

CHUNK = 64  # tasks whose sums are kept while the blocks of k go by


@record(slots=True)
class _Task:
    """One tile of the output."""

    batch: Value
    row: Value
    rows: Value
    column: Value
    columns: Value


@record(slots=True)
class _Steps:
    """A block of k."""

    first: Value
    count: Value


def compute(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> str:
    """Emit the compute kernel."""
    f, parts, shape = open_kernel(module, schedule, name, prepare)
    writer = _Compute(f, schedule, parts, shape)
    with f.loop(f.parameters[1], f.parameters[2], CHUNK) as loop:
        writer.run_chunk(loop.index, least(f, f.add(loop.index, I64.const(CHUNK)), f.parameters[2]))
    f.ret()
    return name


class _Compute:
    """Writes the body of the compute kernel."""

    def __init__(self, f: Function, schedule: Schedule, parts: Parts, shape: Shape[Emitted]) -> None:
        self.f, self.schedule, self.parts, self.shape = f, schedule, parts, shape
        self.scalar, self.vector = schedule.scalar.scalar, schedule.scalar.with_lanes(schedule.lanes)
        self.tiles, self.panels = schedule.tiles(shape).value, schedule.panels(shape).value
        self.group = schedule.group(shape).value
        self.width = schedule.task_columns(shape).value
        self.dots = schedule.uses_dots(shape).flag
        self.sources = Sources(f, schedule, parts, shape, schedule.packs_a(shape).flag, schedule.packs_b(shape).flag)
        self.zeros, self.depth = Zeros(f, schedule, parts), schedule.depth(shape).value
        self.epilogue: Epilogue = Store(parts.epilogue.direct, schedule.scalar) if parts.epilogue.direct else parts.epilogue
        self.ahead = Ahead(f, schedule, self.epilogue)
        self.kernels = MicroKernels(f, schedule, parts.m, fetches=self.ahead.count > 0)
        self.tile_size = schedule.sums_per_tile
        self.blocks, self.block = (quantity.value for quantity in schedule.k_blocks(shape))
        self.one_block = f.compare("eq", self.blocks, I64.const(1))
        self.sums = f.alloca(schedule.scalar, self.tile_size * CHUNK)
        self.partial = f.alloca(schedule.scalar, self.tile_size)

    def run_chunk(self, begin: Value, end: Value) -> None:
        """All blocks of k for the tasks of a chunk: each block's part of A and B is used by many tiles while it is in cache."""
        f = self.f
        with f.loop(I64.const(0), self.blocks) as block:
            first = f.mul(block.index, self.block)
            steps = _Steps(first, least(f, self.block, f.sub(self.depth, first)))
            is_first = f.compare("eq", block.index, I64.const(0))
            is_last = f.compare("eq", f.add(block.index, I64.const(1)), self.blocks)
            with f.loop(begin, end) as loop:
                place = f.select(self.one_block, I64.const(0), f.sub(loop.index, begin))
                sums = f.offset(self.sums, f.mul(place, I64.const(self.tile_size)), self.scalar)
                self._run(self._locate(loop.index), steps, sums, is_first, is_last)

    def _run(self, task: _Task, steps: _Steps, sums: Value, is_first: Value, is_last: Value) -> None:
        f = self.f
        in_place = self._stores_in_place(task)
        partial = f.select(is_first, sums, self.partial)
        if self.dots.text != "false":
            with f.when(self.dots):
                self._dots(task, steps, partial)
        if self.dots.text != "true":
            with self._unless(self.dots):
                self._tile(task, steps, partial, in_place, is_last)
        with self._unless(is_first):
            self._accumulate(task, sums)
        if in_place.text != "true":
            with f.when(f.bit_and(is_last, f.bit_xor(in_place, I1.const(True)))):
                self._finish(task, sums)

    def _accumulate(self, task: _Task, sums: Value) -> None:
        """Add the partial sums of a later block of k to those before it; what lies past the valid columns is never used."""
        f = self.f
        with f.loop(I64.const(0), task.rows) as row, f.loop(I64.const(0), task.columns, self.schedule.lanes) as column:
            place = f.add(f.mul(row.index, self.width), column.index)
            total, part = (f.load(f.offset(tile, place, self.scalar), self.vector) for tile in (sums, self.partial))
            f.store(f.add(total, part), f.offset(sums, place, self.scalar))

    def _unless(self, condition: Value) -> AbstractContextManager[None]:
        return self.f.when(self.f.bit_xor(condition, I1.const(True)))

    def _locate(self, index: Value) -> _Task:
        """The tile of a task. Heights differ by at most one row, so that no tile is left with a few rows only."""
        f = self.f
        group = self.group
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
        """Whether the micro-kernel writes the output itself: not if an expression follows, nor where the output ends inside the tile."""
        f = self.f
        if not self.parts.epilogue.direct:
            return I1.const(False)
        tiled = f.bit_and(f.bit_xor(self.dots, I1.const(True)), self.one_block)
        return f.bit_and(tiled, f.compare("eq", task.columns, self.width))

    # -- sums -----------------------------------------------------------------------------------------------------

    def _dots(self, task: _Task, steps: _Steps, sums: Value) -> None:
        """Dot products of the tile's rows with a few columns at a time."""
        f = self.f
        b = self.parts.b.direct
        assert b
        kernel, width = self.kernels.dots(task.rows)
        left, left_row, _ = self.sources.left(task.batch, task.row, steps.first)
        with f.loop(I64.const(0), task.columns, width) as loop:
            right = f.offset(row_address(f, b, self.scalar, task.batch, f.add(task.column, loop.index)), steps.first, self.scalar)
            arguments = (
                left, left_row, right, b.row_stride, steps.count, f.offset(sums, loop.index, self.scalar), self.width,
                task.rows, f.sub(task.columns, loop.index),
            )  # fmt: skip
            call_kernel(f, kernel, arguments)

    def _tile(self, task: _Task, steps: _Steps, sums: Value, in_place: Value, is_last: Value) -> None:
        """Panel by panel through the full micro-kernels, or at one stroke when the task is as wide as a flat tile."""
        f, schedule = self.f, self.schedule
        c, c_row = self._destination(task, sums, in_place)
        a = self.sources.left(task.batch, task.row, steps.first)
        panel = I64.const(schedule.panel_columns)
        zeros = self.zeros.arguments(task.batch, task.row, task.rows)
        ahead = self.ahead.arguments(task.batch, task.row, task.rows, task.column, is_last)

        def multiply(kernel: Value, column: Value, columns: Value) -> None:
            b = self.sources.right(task.batch, f.add(task.column, column), steps.first)
            call_kernel(f, kernel, (*a, *b, steps.count, f.offset(c, column, self.scalar), c_row, columns, *zeros, *ahead))

        if not schedule.flat or self.width.text == panel.text:
            multiply(self._full(task.rows, task.columns), I64.const(0), task.columns)
            return
        is_flat = f.bit_and(f.compare("sgt", self.width, panel), f.compare("eq", task.columns, self.width))
        with f.when(is_flat):
            multiply(self.kernels.flat(task.rows), I64.const(0), task.columns)
        with self._unless(is_flat), f.loop(I64.const(0), task.columns, panel) as loop:
            columns = f.sub(task.columns, loop.index)
            multiply(self._full(task.rows, columns), loop.index, columns)

    def _full(self, rows: Value, columns: Value) -> Value:
        """The full micro-kernel. Without masks in all of them, the last columns of a B in place need the one that has them."""
        f, schedule = self.f, self.schedule
        if schedule.target.has_masks:
            return self._among_widths(rows, columns)
        if not (schedule.reads_b_in_place or schedule.indexes_b):
            return self.kernels.full(rows, masked=False)
        is_tail = f.compare("slt", columns, I64.const(schedule.panel_columns))
        needs_mask = f.bit_and(is_tail, f.bit_xor(self.sources.packs_b, I1.const(True)))
        return f.select(needs_mask, self.kernels.full(rows, masked=True), self.kernels.full(rows, masked=False))

    def _among_widths(self, rows: Value, columns: Value) -> Value:
        """The one with no more vectors than the columns fill."""
        f, schedule = self.f, self.schedule
        found = self.kernels.full(rows, masked=True)
        for vectors in schedule.panel_vectors[:-1]:
            fits = f.compare("sle", columns, I64.const(vectors * schedule.lanes))
            found = f.select(fits, self.kernels.full(rows, vectors, masked=True), found)
        return found

    def _destination(self, task: _Task, sums: Value, in_place: Value) -> tuple[Value, Value]:
        """Pointer and row stride of the tile that the micro-kernel writes."""
        f, direct = self.f, self.parts.epilogue.direct
        if not direct:
            return sums, self.width
        output = f.offset(row_address(f, direct, self.scalar, task.batch, task.row), task.column, self.scalar)
        return f.select(in_place, output, sums), f.select(in_place, direct.row_stride, self.width)

    # -- epilogue -------------------------------------------------------------------------------------------------

    def _finish(self, task: _Task, sums: Value) -> None:
        """Run the epilogue over the finished tile, row by row: whole vectors, then the tail."""
        f, lanes = self.f, self.schedule.lanes
        whole = f.mul(f.emit(I64, f"udiv {task.columns.typed}, {lanes}"), I64.const(lanes))
        with f.loop(I64.const(0), task.rows) as row:
            if self.schedule.transposed:
                with f.loop(I64.const(0), task.columns) as column:
                    self._finish_vector(task, sums, row.index, column.index, 0, None)
                return
            with f.loop(I64.const(0), whole, lanes) as column:
                self._finish_vector(task, sums, row.index, column.index, lanes, None)
            if not self.schedule.target.has_masks:
                with f.loop(whole, task.columns) as column:
                    self._finish_vector(task, sums, row.index, column.index, 0, None)
                return
            with f.when(f.compare("slt", whole, task.columns)):
                self._finish_vector(task, sums, row.index, whole, lanes, f.tail_mask(f.sub(task.columns, whole), lanes))

    def _finish_vector(self, task: _Task, sums: Value, row: Value, column: Value, lanes: int, mask: Value | None) -> None:
        f = self.f
        address = f.offset(sums, f.add(f.mul(row, self.width), column), self.scalar)
        value = f.load(address, self.schedule.scalar.with_lanes(lanes))
        self.epilogue.store(f, task.batch, f.add(task.row, row), f.add(task.column, column), value, mask)
