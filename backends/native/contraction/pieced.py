"""The compute kernel for a B whose columns lie in memory piece by piece: windows over rows of an image, padding included.

A task is one group of tiles of rows under one panel of B, so any split over threads gives the same bits. Where the panel is one run in
memory, as it is between the borders of an image, every tap reads it in place, under a mask for the padding. Else the task packs it, a
block of k at a time, into memory of its own that stays in the nearest caches ("implicit GEMM": Chetlur et al. 2014, "cuDNN", section
3.1, with the panels of Goto & van de Geijn 2008). Only where panels are few and shared by several groups are they packed beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from graphdl.record import record

from ..llvm import I1, I8, I64, PTR, Function, Module, Value
from .bytes import clear_rows, interleave, words_of
from .dispatch import MicroKernels
from .integers import BYTES, STEPS
from .interface import Parts, Window
from .kernel import Prepare, call_kernel, least, open_kernel, split
from .pieced_pack import look, shared_panels, slot
from .quantity import Emitted, Shape
from .rest import RestColumns, Steps
from .schedule import Schedule
from .sources import Sources
from .zeros import Zeros


@record(slots=True)
class _Panel:
    """Columns of the output, and how their part of B lies in memory."""

    batch: Value
    column: Value
    columns: Value
    window: Window


def compute_in_pieces(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> str:
    """Emit the compute kernel."""
    f, parts, shape = open_kernel(module, schedule, name, prepare)
    writer = _Compute(f, schedule, parts, shape)
    with f.loop(f.parameters[1], f.parameters[2]) as loop:
        writer.run(loop.index)
    f.ret()
    return name


class _Compute:
    """Writes the body of the compute kernel."""

    def __init__(self, f: Function, schedule: Schedule, parts: Parts, shape: Shape[Emitted]) -> None:
        self.f, self.schedule, self.parts = f, schedule, parts
        assert parts.pieces
        self.pieces, self.taps = parts.pieces, I64.const(schedule.b.taps)
        self.scalar, self.vector = schedule.scalar.scalar, schedule.scalar.with_lanes(schedule.lanes)
        self.width = I64.const(schedule.panel_columns)
        self.whole = f.sub(parts.n, I64.const(schedule.rest))
        self.group, self.groups = schedule.group(shape).value, schedule.groups(shape).value
        self.tiles, self.panels = schedule.tiles(shape).value, schedule.panels(shape).value
        self.blocks, self.block = (quantity.value for quantity in schedule.step_blocks(shape))
        self.sources = Sources(f, schedule, parts, shape, schedule.packs_a(shape).flag, I1.const(False))
        self.kernels = MicroKernels(f, schedule, parts.m if schedule.known.m is None else I64.const(schedule.known.m))
        self.tile_size = schedule.sums_per_tile
        self.sums = f.alloca(schedule.scalar, self.tile_size * schedule.cut.group_tiles)
        self.partial = f.alloca(schedule.scalar, self.tile_size)
        taps = schedule.b.taps
        self.offsets, self.masks = f.alloca(I64, taps), f.alloca(I64, taps)
        self.shares = schedule.shares_pieces(shape).flag
        self.rest = RestColumns(f, schedule, parts, shared_panels(schedule, shape)) if schedule.rest else None
        self.zeros = Zeros(f, schedule, parts)
        elements = -(-schedule.longest_steps * taps // STEPS) * STEPS * schedule.panel_columns
        width = 1 if schedule.integers is None else BYTES
        self.own = Value("null", PTR) if self.shares.text == "true" else f.alloca(schedule.scalar, elements // width)
        self.bytes = None if schedule.integers is None else f.alloca(I8, elements)

    def run(self, task: Value) -> None:
        f = self.f
        batch, rest = split(f, task, f.mul(self.groups, self.panels))
        group, panel = split(f, rest, self.panels)
        column = f.mul(panel, self.width)
        columns = least(f, self.width, f.sub(self.whole, column))
        window = look(f, self.schedule, self.parts, (batch, column, columns), self.offsets, self.masks)
        found = _Panel(batch, column, columns, window)
        first = f.mul(group, self.group)
        last = least(f, f.add(first, self.group), self.tiles)
        steps = f.emit(I64, f"udiv {self.parts.k.typed}, {self.taps.text}")
        with f.loop(I64.const(0), self.blocks) as block:
            step = f.mul(block.index, self.block)
            count = least(f, self.block, f.sub(steps, step))
            if self.schedule.packs_pieces and self.shares.text != "true":
                with self._unless(f.bit_or(window.is_run, self.shares)):
                    self._pack(found, step, count)
            is_first = f.compare("eq", block.index, I64.const(0))
            is_last = f.compare("eq", f.add(block.index, I64.const(1)), self.blocks)
            with f.loop(first, last) as tile:
                self._tile(found, tile.index, f.sub(tile.index, first), Steps(step, count, is_first, is_last))

    def _pack(self, panel: _Panel, step: Value, steps: Value) -> None:
        """Pack a panel; of bytes, four rows are then put into words."""
        f, target = self.f, self.own if self.bytes is None else self.bytes
        self.pieces.pack(f, panel.batch, panel.column, panel.columns, step, steps, target)
        if self.bytes is not None:
            rows, width, lanes = f.mul(steps, self.taps), self.schedule.panel_columns, self.schedule.lanes
            clear_rows(f, self.bytes, rows, width, lanes)
            interleave(f, self.bytes, rows, width, lanes, self.own)

    def _depth(self, rows: Value) -> Value:
        """The elements of k that so many rows of a packed panel are."""
        return rows if self.bytes is None else words_of(self.f, rows)

    def _unless(self, condition: Value) -> AbstractContextManager[None]:
        return self.f.when(self.f.bit_xor(condition, I1.const(True)))

    def _tile(self, panel: _Panel, tile: Value, place: Value, steps: Steps) -> None:
        """The sums of one tile over one block of k, kept at `place` of the group; finished with the last one."""
        f = self.f
        row, rows = self._rows(tile)
        a = self.sources.left(panel.batch, row, self._depth(f.mul(steps.first, self.taps)))
        sums = f.offset(self.sums, f.mul(place, I64.const(self.tile_size)), self.scalar)
        self._multiply(panel, row, rows, a, steps, f.select(steps.is_first, sums, self.partial))
        with self._unless(steps.is_first):
            self._accumulate(rows, sums)
        with f.when(steps.is_last):
            self.pieces.finish(f, panel.batch, row, rows, panel.column, panel.columns, sums, self.width)
        if self.rest is not None:
            with f.when(f.compare("eq", f.add(panel.column, panel.columns), self.whole)):
                self.rest.add(panel.batch, row, rows, a, place, steps)

    def _multiply(self, panel: _Panel, row: Value, rows: Value, a: tuple[Value, Value, Value], steps: Steps, partial: Value) -> None:
        """Through the micro-kernel for windows if the panel is one run, else from where it is packed."""
        f, window = self.f, panel.window
        if self.schedule.reads_windows:
            with f.when(window.is_run):
                b = f.offset(window.pointer, f.mul(steps.first, window.stride), self.scalar)
                taps = (steps.count, self.offsets, self.masks, self.taps)
                kernel = self._among_widths(panel, lambda vectors: self.kernels.windows(rows, vectors))
                call_kernel(f, kernel, (*a, b, window.stride, *taps, partial, self.width))
        if self.schedule.packs_pieces:
            with self._unless(window.is_run):
                depth = self._depth(f.mul(steps.count, self.taps))
                zeros = self.zeros.arguments(panel.batch, row, rows)
                kernel = self._among_widths(panel, lambda vectors: self.kernels.full(rows, vectors, masked=False, streams=False))
                call_kernel(f, kernel, (*a, self._packed(panel, steps.first), self.width, depth, partial, self.width, panel.columns, *zeros))

    def _packed(self, panel: _Panel, step: Value) -> Value:
        """Where a panel lies that is no run, from `step` on."""
        if self.shares.text == "false":
            return self.own
        f = self.f
        number = f.add(f.mul(panel.batch, self.panels), f.emit(I64, f"udiv {panel.column.typed}, {self.width.text}"))
        rows = f.mul(f.mul(step, self.taps), self.width)
        return f.select(self.shares, f.offset(slot(f, self.schedule, self.parts, number), rows, self.scalar), self.own)

    def _among_widths(self, panel: _Panel, kernel: Callable[[int], Value]) -> Value:
        """The micro-kernel with no more vectors than a panel fills."""
        f, lanes = self.f, self.schedule.lanes
        *narrower, widest = self.schedule.panel_vectors
        found = kernel(widest)
        for vectors in reversed(narrower):
            found = f.select(f.compare("sle", panel.columns, I64.const(vectors * lanes)), kernel(vectors), found)
        return found

    def _rows(self, tile: Value) -> tuple[Value, Value]:
        """First row and height of a tile. Heights differ by at most one row, so that no tile is left with a few rows only."""
        f = self.f
        height, taller = split(f, self.parts.m, self.tiles)
        row = f.add(f.mul(tile, height), least(f, tile, taller))
        return row, f.add(height, f.convert("zext", f.compare("slt", tile, taller), I64))

    def _accumulate(self, rows: Value, sums: Value) -> None:
        f = self.f
        with f.loop(I64.const(0), f.mul(rows, self.width), self.schedule.lanes) as loop:
            total, part = (f.load(f.offset(tile, loop.index, self.scalar), self.vector) for tile in (sums, self.partial))
            f.store(f.add(total, part), f.offset(sums, loop.index, self.scalar))
