"""Fetching ahead what a reduction streams through while it computes much with every element.

The arithmetic of unpacked weights fills the processor's window of instructions, so few loads are under way at a time, and the
hardware's own prefetch stops at every page. Bodies that do little else than load need none of this.
"""

from __future__ import annotations

from graphdl.kernel.expression import Axis, Load, Reduce, Scalar, walk

from ..llvm import I32, I64, PTR, Value
from .affine import linear_part
from .emitter import Emitter
from .registers import MEMORY, itemsize

AHEAD = 4096  # bytes of each stream between fetching and using
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
    along = linear_part(load.index[0] + parts[0] * steps, lanes.axis)
    assert along is not None
    memory = MEMORY[load.dtype]
    start = emitter.f.offset(emitter.address(load.buffer, along[1], memory), lanes.base, memory.scalar)
    for place in range(0, width, LINE):
        _fetch(emitter, emitter.f.offset(start, I64.const(place), "i8"))


def _fetch(emitter: Emitter, address: Value) -> None:
    emitter.f.intrinsic_void("prefetch", address, I32.const(0), I32.const(3), I32.const(1), overload=[PTR])
