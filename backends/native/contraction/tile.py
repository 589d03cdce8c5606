"""Register tiles by target: the table behind every micro-kernel.

A tile of `rows` x `vectors` accumulators must leave registers for one row of B and one broadcast of A, and must hold more
independent sums than the multiply-add unit has in flight (Goto & van de Geijn 2008, section 6; Van Zee & van de Geijn 2015, section 3.2).
"""

from __future__ import annotations

from graphdl.record import record

from ..target import Target


@record(slots=True)
class Tile:
    """A block of the output held in registers: `rows` rows of `vectors` vectors."""

    rows: int
    vectors: int


@record(slots=True)
class TileTable:
    """The tiles of one instruction set.

    `full` is for whole matrices; `flat` for few rows, by increasing height: wide tiles that keep enough sums in flight. `dots` have
    both operands contiguous along k: rows x vectors sums, each of them one vector of partial sums that is added up at the end.
    `integers` is for words of bytes, with one more row for the sums of the columns.
    """

    full: Tile
    flat: tuple[Tile, ...]
    dots: tuple[Tile, ...]
    integers: Tile

    def for_integers(self) -> TileTable:
        """The table for products of bytes, which are always packed."""
        return TileTable(self.integers, (), (), self.integers)


# Keyed by the number of vector registers and whether loads and stores take masks.
TABLE: dict[tuple[int, bool], TileTable] = {
    (32, True): TileTable(Tile(14, 2), (Tile(3, 8), Tile(6, 4)), (Tile(1, 8), Tile(2, 8), Tile(4, 4), Tile(6, 4)), Tile(12, 2)),
    (32, False): TileTable(Tile(8, 3), (Tile(3, 6),), (Tile(1, 8), Tile(2, 8), Tile(4, 4)), Tile(6, 3)),
    (16, False): TileTable(Tile(6, 2), (Tile(1, 8), Tile(3, 4)), (Tile(1, 4), Tile(2, 4), Tile(4, 2)), Tile(3, 2)),
}


def table_for(target: Target) -> TileTable:
    """The row for `target`; masks only serve a processor whose masked accesses are free."""
    return TABLE[(32 if target.vector_registers >= 32 else 16, target.has_masks)]
