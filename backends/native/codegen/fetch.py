"""Fetching ahead what a reduction, or a loop over rows, streams through while it computes much with every element.

The arithmetic of unpacked weights fills the processor's window of instructions, so few loads are under way at a time, and the
hardware's own prefetch stops at every page. Bodies that do little else than load need none of this.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphdl.kernel.expression import Axis, Expr, Load, Reduce, Scalar, axes_of, walk
from graphdl.sizes import Dim

from ..llvm import I32, I64, PTR
from .affine import linear_part
from .emitter import Emitter
from .indices import reads_data
from .registers import MEMORY, itemsize

AHEAD = 4096  # bytes of each stream between fetching and using
ROWS_AHEAD = 8192  # bytes, where rows lie one behind the other: they are read once more before, for what all of a row decides
LINE = 64
MUCH = 3  # scalar operations for every load


def streams_of(x: Reduce, lanes: Axis) -> list[Load]:
    """The loads along the lanes of a body that computes much; none of another body."""
    loads = [y for y in walk(x.body) if isinstance(y, Load)]
    if sum(isinstance(y, Scalar) for y in walk(x.body)) < MUCH * len(loads) - MUCH:
        return []
    return [y for y in loads if (parts := linear_part(y.index[0], lanes)) is not None and parts[0] == 1]


def fetch_ahead(emitter: Emitter, load: Load, axis: Axis) -> None:
    """Fetch what the load reads some steps of the innermost axis that it depends on later."""
    lanes = emitter.lanes
    parts = linear_part(load.index[0], axis)
    if lanes is None or parts is None:
        return
    width = lanes.count * itemsize(load.dtype)
    step = parts[0] * itemsize(load.dtype) if isinstance(parts[0], int) else width
    steps = max(AHEAD // max(step, width), 1)
    _fetch_lanes(emitter, load, load.index[0] + parts[0] * steps, 0)


def rows_of(value: Expr, along: Axis, tasks: Sequence[Axis]) -> list[Load]:
    """The loads of whole rows that lie one behind the other, a row a task."""

    def is_row(x: Load) -> bool:
        inside, outside = linear_part(x.index[0], along), linear_part(x.index[0], tasks[-1])
        return inside is not None and outside is not None and inside[0] == 1 and outside[0] == along.size

    return [x for x in walk(value) if isinstance(x, Load) and tasks and is_row(x)]


def fetch_rows_ahead(emitter: Emitter, load: Load) -> None:
    """Fetch what later tasks read in the place of what the load reads now."""
    _fetch_lanes(emitter, load, load.index[0], ROWS_AHEAD)


def loads_beside(sums: Reduce, values: Sequence[Expr], row: Axis, column: Axis) -> list[Load]:
    """The loads that an epilogue of `sums` makes for every one of them, along rows in memory; of those at one place, one."""

    def is_beside(x: Load) -> bool:
        along = linear_part(x.index[0], column)
        return along is not None and along[0] == 1 and row in axes_of(along[1]) and x.axes.isdisjoint(sums.reduced) and not reads_data(x.index[0])

    found = [x for x in walk(*values) if isinstance(x, Load) and is_beside(x)]
    return list({(x.buffer.storage, x.index[0]): x for x in found}.values())


def _fetch_lanes(emitter: Emitter, load: Load, index: Dim, distance: int) -> None:
    """Fetch the lines of all lanes, some bytes further on. Nothing need lie there: fetching never faults."""
    f, lanes, memory = emitter.f, emitter.lanes, MEMORY[load.dtype]
    assert lanes is not None
    along = linear_part(index, lanes.axis)
    assert along is not None
    start = f.offset(emitter.address(load.buffer, along[1], memory), lanes.base, memory.scalar)
    for place in range(0, lanes.count * itemsize(load.dtype), LINE):
        address = f.offset(start, I64.const(distance + place), "i8")
        f.intrinsic_void("prefetch", address, I32.const(0), I32.const(3), I32.const(1), overload=[PTR])
