"""Loads and stores of every second, third or fourth element, or backwards: whole vectors and a shuffle, where a gather goes one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from graphdl.sizes import Dim

from ..llvm import I1, I64, Function, Type, Value

MOST = 4  # elements apart, up to which the vectors in between are worth passing over


def is_strided(step: Dim | None) -> TypeGuard[int]:
    """Whether elements `step` apart are loaded and stored so."""
    return isinstance(step, int) and (step == -1 or 1 < step <= MOST)


def strided_load(f: Function, start: Value, type: Type, step: int, mask: Value | None) -> Value:
    """The elements `step` apart from `start` on, those that `mask` has on; nothing after the last of them is read."""
    if step == -1:
        back = range(type.lanes - 1, -1, -1)
        loaded = f.load(_before(f, start, type), type, None if mask is None else f.shuffle(mask, mask, back))
        return f.shuffle(loaded, loaded, back)
    return picked_load(f, start, type, step, [_spread(f, mask, type.lanes, step, part) for part in range(step)])


def picked_load(f: Function, start: Value, type: Type, step: int, masks: Sequence[Value | None]) -> Value:
    """The elements `step` apart from `start` on, out of as many whole vectors, which are read under `masks`.

    One vector at a time: of types that are no power of two LLVM makes single elements.
    """
    lanes = type.lanes
    found = f.load(start, type, masks[0])
    for part in range(1, step):
        following = f.load(f.offset(start, I64.const(part * lanes), type.scalar), type, masks[part])
        found = f.shuffle(found, following, [_place_among(lane, lanes, step, part) for lane in range(lanes)])
    return found


def _place_among(lane: int, lanes: int, step: int, part: int) -> int:
    """Where a lane's element is in what was picked before, followed by the vector of that number; anywhere if it comes later."""
    at = lane * step - part * lanes
    if 0 <= at < lanes:
        return lanes + at
    return lane if part > 1 or at >= 0 else lane * step


def strided_store(f: Function, value: Value, start: Value, step: int, mask: Value | None) -> None:
    """Store the lanes that `mask` has on `step` elements apart from `start` on; what lies between is left as it is."""
    lanes = value.type.lanes
    if step == -1:
        back = range(lanes - 1, -1, -1)
        f.store(f.shuffle(value, value, back), _before(f, start, value.type), None if mask is None else f.shuffle(mask, mask, back))
        return
    for part in range(step):
        apart = f.shuffle(value, value, [k // step for k in _places(part, lanes)])
        f.store(apart, f.offset(start, I64.const(part * lanes), value.type.scalar), _spread(f, mask, lanes, step, part))


def _places(part: int, lanes: int) -> range:
    return range(part * lanes, (part + 1) * lanes)


def _spread(f: Function, mask: Value | None, lanes: int, step: int, part: int) -> Value:
    """The mask of so many lanes where they stand `step` apart, of one of the `step` vectors that hold them."""
    on = I1.with_lanes(lanes).const(True) if mask is None else mask
    return f.shuffle(on, on.type.const(False), [k // step if k % step == 0 else lanes for k in _places(part, lanes)])


def _before(f: Function, last: Value, type: Type) -> Value:
    """Where a vector begins whose last lane lies at `last`."""
    return f.offset(last, I64.const(1 - type.lanes), type.scalar)
