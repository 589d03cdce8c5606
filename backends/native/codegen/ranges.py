"""Loads of a range of lanes from a place that is known already: zero in the lanes before and after it."""

from __future__ import annotations

from collections.abc import Callable

from graphdl.kernel.expression import Axis, Load

from ..llvm import I64, Value
from .affine import linear_part
from .emitter import Emitter
from .registers import MEMORY
from .scoping import Lanes
from .strided import is_strided, picked_load, strided_load

Range = tuple[Value, Value]  # the first lane, and the one after the last


def start_of(emitter: Emitter, x: Load, axis: Axis) -> tuple[Value, Value]:
    """Where the element is that the first lane loads, and how many elements further it is for the next index of `axis`."""
    lanes, memory = emitter.lanes, MEMORY[x.dtype]
    along = linear_part(x.index[0], axis)
    assert along is not None
    if lanes is None:
        return emitter.address(x.buffer, x.index[0], memory), emitter.index(along[0])
    parts = linear_part(x.index[0], lanes.axis)
    assert parts is not None
    start = emitter.address(x.buffer, parts[1], memory)
    return emitter.f.offset(start, emitter.f.mul(lanes.base, emitter.index(parts[0])), memory.scalar), emitter.index(along[0])


def range_load(emitter: Emitter, x: Load, inside: Range | None, holds: Value | None) -> Callable[[Value], Value]:
    """What loads `x` from a place given for the first lane: the lanes from `inside[0]` to before `inside[1]` if `holds`, else zero."""
    lanes, memory, f = emitter.lanes, MEMORY[x.dtype], emitter.f
    if lanes is None:
        return lambda place: f.load(place, memory)
    parts = linear_part(x.index[0], lanes.axis)
    assert parts is not None
    wide = memory.with_lanes(lanes.count)
    step = parts[0] if emitter.target.has_masks and is_strided(parts[0]) else 1
    if step > 1:  # what lies between the elements of a range is memory too, so that one range masks it all
        masks = [None if inside is None else _between(emitter, lanes, inside, holds, step, part) for part in range(step)]
        return lambda place: picked_load(f, place, wide, step, masks)
    on = None if inside is None else _between(emitter, lanes, inside, holds)
    if step < 0:
        return lambda place: strided_load(f, place, wide, step, on)
    if parts[0] == 1:
        return lambda place: f.load(place, wide, on)
    steps = f.mul(f.lanes_index(I64.with_lanes(lanes.count)), f.splat(emitter.index(parts[0]), lanes.count))
    return lambda place: f.gather(f.offset(f.splat(place, lanes.count), steps, memory.scalar), wide, on)


def _between(emitter: Emitter, lanes: Lanes, inside: Range, holds: Value | None, step: int = 1, part: int = 0) -> Value:
    """The lanes of a range; where they stand `step` apart, all that lies between the first and the last of them in a vector of those; none unless `holds`."""
    f, count = emitter.f, lanes.count
    with emitter.at_depth(emitter.depth[lanes.axis]):
        low, high = inside if step == 1 else (f.mul(inside[0], I64.const(step)), f.sub(f.mul(inside[1], I64.const(step)), I64.const(step - 1)))
        before, until = (f.tail_mask(f.sub(bound, I64.const(part * count)), count) for bound in (low, high))
        found = f.bit_and(until, f.bit_xor(before, before.type.const(True)))
    return found if holds is None else f.bit_and(found, f.splat(holds, count))
