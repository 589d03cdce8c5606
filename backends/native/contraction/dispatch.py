"""Which micro-kernels a contraction needs, and the choice among them at run time.

A known m has at most two tile heights. Of others a number may be known that divides them: tiles of 14 rows for multiples of 128 have 12 rows at
least. A table of function pointers is indexed by the heights that may occur.
"""

from __future__ import annotations

from ..llvm import I64, PTR, Function, Value
from .dot_kernel import dot_kernel
from .integer_kernel import integer_kernel
from .micro_kernel import Kind, micro_kernel, window_kernel
from .schedule import Schedule
from .tile import Tile


class MicroKernels:
    """The micro-kernels of one contraction, written into its module when they are first asked for; whether they fetch for an epilogue."""

    def __init__(self, f: Function, schedule: Schedule, m: Value, *, fetches: bool = False) -> None:
        self.f, self.schedule, self.fetches = f, schedule, fetches
        self.m = None if m.text.startswith("%") else int(m.text)

    def _heights(self, most: int, rows: int) -> list[int]:
        """The heights up to `most` that occur if tiles have at most `rows` rows."""
        if self.m is not None:
            tiles = max(-(-self.m // rows), 1)
            return sorted({max(min(height, most), 1) for height in (self.m // tiles, -(-self.m // tiles))})
        step = self.schedule.known.m_step
        least = min(m // -(-m // rows) for m in range(step, rows * rows + step, step))
        return list(range(min(least, most), most + 1))

    def full(self, rows: Value, vectors: int | None = None, *, masked: bool, streams: bool = True) -> Value:
        """The micro-kernel for a panel of B, at the height `rows`; for its first `vectors` only, if they are given."""
        full = self.schedule.table.full
        tiles = [Tile(height, vectors or full.vectors) for height in self._heights(full.rows, full.rows)]
        return self._among({tile.rows: self._kernel(tile, masked=masked, streams=streams) for tile in tiles}, rows)

    def windows(self, rows: Value, vectors: int) -> Value:
        """The one for windows over an image, at the height `rows`."""
        schedule, full = self.schedule, self.schedule.table.full
        tiles = {height: Tile(height, vectors) for height in self._heights(full.rows, full.rows)}
        return self._among({height: window_kernel(self.f.module, schedule.scalar, schedule.lanes, tile) for height, tile in tiles.items()}, rows)

    def flat(self, rows: Value) -> Value:
        """The one for a flat tile, at the height `rows`."""
        flat = self.schedule.flat
        heights = self._heights(flat[-1].rows, self.schedule.table.full.rows)
        widest = {height: next(tile.vectors for tile in flat if height <= tile.rows) for height in heights}
        return self._among({height: self._kernel(Tile(height, vectors), masked=False, streams=False) for height, vectors in widest.items()}, rows)

    def dots(self, rows: Value) -> tuple[Value, Value]:
        """The kernel of dot products for `rows` rows, and how many columns it takes at a time."""
        tiles = self.schedule.table.dots
        chosen = {height: next(tile for tile in tiles if height <= tile.rows) for height in self._heights(tiles[-1].rows, tiles[-1].rows)}
        masked = self.schedule.target.has_masks
        names = {height: dot_kernel(self.f.module, self.schedule.scalar, self.schedule.lanes, tile, masked=masked) for height, tile in chosen.items()}
        step = I64.const(tiles[0].vectors)
        for narrower in sorted({tile.vectors for tile in chosen.values()}, reverse=True):
            rows_before = max((tile.rows for tile in tiles if tile.vectors > narrower), default=0)
            step = self.f.select(self.f.compare("sgt", rows, I64.const(rows_before)), I64.const(narrower), step)
        return self._among(names, rows), step

    def _kernel(self, tile: Tile, *, masked: bool, streams: bool) -> str:
        schedule = self.schedule
        if schedule.integers is not None:
            return integer_kernel(self.f.module, schedule.dot, schedule.integers, schedule.lanes, tile)
        kind = Kind(masked, streams, schedule.indexes_b, self.fetches)
        return micro_kernel(self.f.module, schedule.scalar, schedule.lanes, tile, kind)

    def _among(self, names: dict[int, str], rows: Value) -> Value:
        """The address of the kernel for `rows`."""
        heights = sorted(names)
        if len(heights) <= 2:
            is_least = self.f.compare("sle", rows, I64.const(heights[0]))
            return self.f.select(is_least, Value(f"@{names[heights[0]]}", PTR), Value(f"@{names[heights[-1]]}", PTR))
        entries = ["null"] * heights[0] + [f"@{names[height]}" for height in heights]
        table = f"{names[heights[0]]}.to.{heights[-1]}"
        self.f.module.globals.setdefault(table, f"@{table} = internal constant [{len(entries)} x ptr] [{', '.join('ptr ' + entry for entry in entries)}]")
        return self.f.load(self.f.offset(Value(f"@{table}", PTR), rows, "ptr"), PTR)
