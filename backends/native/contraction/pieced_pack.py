"""Packing beforehand of a B in pieces: panels that several groups of tiles read, and the columns left to dot products.

Both lie in slots of a panel's size: first the panels of every batch, if they are shared, then for every batch the columns that are left,
each of them contiguous along k.
"""

from __future__ import annotations

from ..llvm import I1, I64, PTR, Function, Module, Value
from .interface import Parts, Window
from .kernel import Prepare, least, open_kernel, split
from .quantity import Emitted, Shape
from .schedule import Schedule


def shared_panels(schedule: Schedule, shape: Shape[Emitted]) -> Value:
    """How many panels are packed beforehand."""
    return (schedule.shares_pieces(shape) * schedule.packed_panels(shape) * shape.batch).value


def slot(f: Function, schedule: Schedule, parts: Parts, number: Value) -> Value:
    """Where a slot lies."""
    assert parts.packed_b
    return f.offset(parts.packed_b, f.mul(number, f.mul(parts.k, I64.const(schedule.panel_columns))), schedule.scalar.scalar)


def look(f: Function, schedule: Schedule, parts: Parts, at: tuple[Value, Value, Value], offsets: Value, masks: Value) -> Window:
    """How the panel `at` a batch, a column and of so many columns lies; no run in memory is read in place where vectors have no masks."""
    assert parts.pieces
    if not schedule.reads_windows:
        return Window(I1.const(False), Value("null", PTR), I64.const(0))
    return parts.pieces.look(f, *at, offsets, masks)


def pack_pieces(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> str:
    """Emit the kernel that fills the slots; a task is one of them. Panels that are runs in memory are left out."""
    f, parts, shape = open_kernel(module, schedule, name, prepare)
    writer = _Writer(f, schedule, parts, schedule.packed_panels(shape).value)
    shared = shared_panels(schedule, shape)
    with f.loop(f.parameters[1], f.parameters[2]) as task:
        is_panel = f.compare("slt", task.index, shared)
        target = slot(f, schedule, parts, task.index)
        if shared.text != "0":
            with f.when(is_panel):
                writer.panel(task.index, target)
        if schedule.rest:
            with f.when(f.bit_xor(is_panel, I1.const(True))):
                writer.rest(f.sub(task.index, shared), target)
    f.ret()
    return name


class _Writer:
    """Writes the code that fills one slot."""

    def __init__(self, f: Function, schedule: Schedule, parts: Parts, panels: Value) -> None:
        assert parts.pieces
        self.f, self.schedule, self.parts, self.pieces, self.panels = f, schedule, parts, parts.pieces, panels
        self.width = I64.const(schedule.panel_columns)
        self.whole = f.sub(parts.n, I64.const(schedule.rest))
        self.steps = f.emit(I64, f"udiv {parts.k.typed}, {schedule.b.taps}")
        self.offsets, self.masks = (f.alloca(I64, schedule.b.taps) for _ in range(2))

    def panel(self, number: Value, target: Value) -> None:
        f = self.f
        batch, panel = split(f, number, self.panels)
        column = f.mul(panel, self.width)
        columns = least(f, self.width, f.sub(self.whole, column))
        is_run = look(f, self.schedule, self.parts, (batch, column, columns), self.offsets, self.masks).is_run
        with f.when(f.bit_xor(is_run, I1.const(True))):
            self.pieces.pack(f, batch, column, columns, I64.const(0), self.steps, target)

    def rest(self, batch: Value, target: Value) -> None:
        """A few steps at a time go through a panel, from which every column is copied."""
        f, schedule = self.f, self.schedule
        block, taps = I64.const(schedule.longest_steps), I64.const(schedule.b.taps)
        panel = f.alloca(schedule.scalar, schedule.longest_steps * schedule.b.taps * schedule.panel_columns)
        with f.loop(I64.const(0), self.steps, block) as loop:
            count = least(f, block, f.sub(self.steps, loop.index))
            self.pieces.pack(f, batch, self.whole, I64.const(schedule.rest), loop.index, count, panel)
            start = f.offset(target, f.mul(loop.index, taps), schedule.scalar.scalar)
            with f.loop(I64.const(0), f.mul(count, taps)) as row:
                self._turn(f.offset(panel, f.mul(row.index, self.width), schedule.scalar.scalar), f.offset(start, row.index, schedule.scalar.scalar))

    def _turn(self, row: Value, target: Value) -> None:
        """Copy a row to the same place of every column."""
        f, scalar = self.f, self.schedule.scalar
        for column in range(self.schedule.rest):
            value = f.load(f.offset(row, I64.const(column), scalar.scalar), scalar)
            f.store(value, f.offset(target, f.mul(self.parts.k, I64.const(column)), scalar.scalar))
