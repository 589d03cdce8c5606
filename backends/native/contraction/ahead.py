"""What an epilogue reads, fetched by the micro-kernel while it computes the sums: a row of the tile in one array at every step of k.

A tile's rows lie far apart in memory, where no hardware prefetch sees them coming. Fetched all at once before the sums, they would fill
the queue of misses, and the micro-kernel would wait for them as the epilogue did.
"""

from __future__ import annotations

from ..llvm import I64, PTR, Function, Value
from .interface import Epilogue
from .schedule import Schedule


class Ahead:
    """Memory of a kernel function for the addresses of one tile's rows."""

    def __init__(self, f: Function, schedule: Schedule, epilogue: Epilogue) -> None:
        self.f, self.epilogue = f, epilogue
        self.count = epilogue.arrays if schedule.target.has_prefetch and not schedule.integers else 0
        if self.count:
            self.table = f.alloca(PTR, schedule.table.full.rows * self.count)
            f.store(self.table, self.table)

    def arguments(self, batch: Value, row: Value, rows: Value, column: Value, wanted: Value) -> tuple[Value, ...]:
        """The table and its last place, as the micro-kernel takes them; of a tile that is not `wanted` yet, a table of one row."""
        f = self.f
        if not self.count:
            return ()
        count = I64.const(self.count)
        with f.when(wanted), f.loop(I64.const(0), rows) as loop:
            first = f.offset(self.table, f.mul(loop.index, count), "ptr")
            for number, place in enumerate(self.epilogue.places(f, batch, f.add(row, loop.index), column)):
                f.store(place, f.offset(first, I64.const(number), "ptr"))
        return self.table, f.select(wanted, f.sub(f.mul(rows, count), I64.const(1)), I64.const(0))
