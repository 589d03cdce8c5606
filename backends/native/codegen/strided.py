"""Loads and stores of every second, third or fourth element, or backwards: whole vectors and a shuffle, where a gather goes one by one."""

from __future__ import annotations

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
    places = [lane * step for lane in range(type.lanes)]
    loaded = f.load(start, type.with_lanes(type.lanes * step), _spread(f, mask, type.lanes, step))
    return f.shuffle(loaded, loaded, places)


def strided_store(f: Function, value: Value, start: Value, step: int, mask: Value | None) -> None:
    """Store the lanes that `mask` has on `step` elements apart from `start` on; what lies between is left as it is."""
    lanes = value.type.lanes
    if step == -1:
        back = range(lanes - 1, -1, -1)
        f.store(f.shuffle(value, value, back), _before(f, start, value.type), None if mask is None else f.shuffle(mask, mask, back))
        return
    wide = f.shuffle(value, value, [k // step for k in range(lanes * step)])
    f.store(wide, start, _spread(f, mask, lanes, step))


def _spread(f: Function, mask: Value | None, lanes: int, step: int) -> Value:
    """The mask of so many lanes over the vector in which they stand `step` apart."""
    on = I1.with_lanes(lanes).const(True) if mask is None else mask
    return f.shuffle(on, on.type.const(False), [k // step if k % step == 0 else lanes for k in range(lanes * step)])


def _before(f: Function, last: Value, type: Type) -> Value:
    """Where a vector begins whose last lane lies at `last`."""
    return f.offset(last, I64.const(1 - type.lanes), type.scalar)
