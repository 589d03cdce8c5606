"""The zero points of a tile's rows, as the integer micro-kernel takes them."""

from __future__ import annotations

from ..llvm import I32, I64, PTR, Function, Value
from .interface import Parts
from .schedule import Schedule


class Zeros:
    """Memory for the zero points of one tile in a kernel function."""

    def __init__(self, f: Function, schedule: Schedule, parts: Parts) -> None:
        self.f, self.parts, self.integers = f, parts, schedule.integers
        self.corrects = self.integers is not None and schedule.dot.corrects(self.integers)
        self.moved = I32.const(0 if self.integers is None else schedule.dot.moved(self.integers))
        self.memory = f.alloca(I32, schedule.table.full.rows) if self.corrects else Value("null", PTR)

    def arguments(self, batch: Value, row: Value, rows: Value) -> tuple[Value, ...]:
        """What the micro-kernel takes beyond those for floats; the zero points of the rows are written now."""
        f = self.f
        if self.integers is None:
            return ()
        if self.corrects:
            with f.loop(I64.const(0), rows) as loop:
                zero = self.moved if self.parts.zero is None else f.add(self.parts.zero(f, batch, f.add(row, loop.index)), self.moved)
                f.store(zero, f.offset(self.memory, loop.index, "i32"))
        return (self.memory,)
