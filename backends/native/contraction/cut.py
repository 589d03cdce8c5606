"""What of a contraction's schedule may be measured: none of it changes the order in which anything is added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graphdl.record import record

if TYPE_CHECKING:
    from .interface import Traits
    from .quantity import Shape
    from .schedule import Schedule

MOST = 1 << 30  # rows: no output has more
MOST_TILES = 64  # of a group: their sums may lie on the stack


@record(slots=True)
class Cut:
    """How many tiles of rows one pass over the panels of B serves, and up to how many rows B is read in place instead of being packed: for
    a short row of B and for a long one. `source` tells who chose, `gain` how many times as fast as by the cost model it was measured to be.
    """

    group_tiles: int = 16  # their part of A stays in the second-level cache
    in_place_rows: tuple[int, int] = (128, 28)  # up to this m reading B in place beats packing it
    source: str = "cost model"
    gain: float = 1.0

    @property
    def told(self) -> str:
        """For people: the height of a group, how B is read, and who chose."""
        short, long = self.in_place_rows
        reading = "B packed" if not long and not short else "B in place" if short == MOST else f"B in place up to {short} or {long} rows"
        gain = f", {self.gain:.2f} times as fast" if self.gain != 1.0 else ""
        return f"groups of {self.group_tiles}, {reading} ({self.source}{gain})"

    def to_json(self) -> list[Any]:
        """As plain data."""
        return [self.group_tiles, *self.in_place_rows, self.gain]

    @staticmethod
    def from_json(found: Any) -> Cut | None:
        """A measured cut from what `to_json` gave; None for anything else."""
        if not isinstance(found, list) or [type(one) for one in found] != [int, int, int, float]:
            return None
        group, short, long, gain = found
        fits = 1 <= group <= MOST_TILES and 0 <= short <= MOST and 0 <= long <= MOST and 0.0 < gain < float("inf")
        return Cut(group, (short, long), MEASURED, gain) if fits else None


MODEL = Cut()
MEASURED = "measured"
Chooser = Callable[["Schedule", "tuple[Traits, Traits]", "Shape[Any]"], Cut]  # from the schedule by the cost model, the operands and the sizes


def modelled(schedule: Schedule, traits: tuple[Traits, Traits], shape: Shape[Any]) -> Cut:
    """The cost model's choice."""
    return schedule.cut
