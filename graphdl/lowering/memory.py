"""Memory planning: which temporaries share a place in the arena.

Sizes may be symbolic, so places are not packed by offset but by *slot*: a slot is as large as the largest temporary that ever
lives in it, and a temporary takes a slot whose tenant has died, the best fitting one first. Offsets are then sums of slots,
computed at the call. The same slot rule gives in-place results: a kernel that reads a dying temporary only where it writes takes its slot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..kernel.expression import Buffer
from ..kernel.program import Kernel, Program, Step, read_buffers
from ..sizes import Dim, ceildiv, is_nonnegative, maximum
from .update import reads_only_in_place

ALIGNMENT = 64


@dataclass(frozen=True)
class Interval:
    """A temporary: from the step that writes it first to the last one that touches it. `replaces` may give up its slot to it."""

    buffer: Buffer
    first: int
    last: int
    size: Dim
    replaces: Buffer | None = None


@dataclass(frozen=True)
class Plan:
    """An offset in bytes for every temporary, and the size of the arena."""

    offsets: Mapping[Buffer, Dim]
    total: Dim


def intervals(program: Program, bytes_of: Mapping[Buffer, Dim]) -> list[Interval]:
    """The life of every temporary, in the order of first use."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for position, step in enumerate(program.steps):
        for buffer in (*(b.storage for b in step.written), *read_buffers(step)):
            first.setdefault(buffer, position)
            last[buffer] = position
    found = [
        Interval(buffer, first[buffer], last[buffer], bytes_of[buffer], _replaceable(program.steps[first[buffer]], buffer, first, last, bytes_of))
        for buffer in program.temporaries
        if buffer in first
    ]
    return sorted(found, key=lambda one: one.first)


def _replaceable(step: Step, new: Buffer, first: Mapping[Buffer, int], last: Mapping[Buffer, int], bytes_of: Mapping[Buffer, Dim]) -> Buffer | None:
    """A temporary that dies in the step that writes `new`, has its size, and is read only where `new` is written."""
    if not isinstance(step, Kernel):
        return None
    for old in read_buffers(step):
        dying = old in bytes_of and last[old] == first[new] and first[old] < first[new]
        if dying and bytes_of[old] == bytes_of[new] and reads_only_in_place(step, new, old) and _written_once(step, new):
            return old
    return None


def _written_once(step: Kernel, new: Buffer) -> bool:
    """Later stores of the same kernel must not read what an earlier one has overwritten: only single stores work in place."""
    return len(step.stores) == 1 and step.stores[0].buffer.storage is new


def plan(lives: Sequence[Interval]) -> Plan:
    """Give every temporary a slot, and slots their offsets."""
    sizes: list[Dim] = []
    free: list[int] = []
    slot_of: dict[Buffer, int] = {}
    busy: list[tuple[int, int]] = []  # (last step, slot)
    for life in lives:
        released = [slot for last, slot in busy if last < life.first]
        busy = [(last, slot) for last, slot in busy if last >= life.first]
        free.extend(released)
        if life.replaces is not None and life.replaces in slot_of and (life.first, slot_of[life.replaces]) in busy:
            slot = slot_of[life.replaces]
            busy.remove((life.first, slot))
        else:
            slot = _best(free, sizes, life.size)
        sizes[slot] = maximum(sizes[slot], life.size)
        slot_of[life.buffer] = slot
        busy.append((life.last, slot))
    offsets: list[Dim] = []
    total: Dim = 0
    for size in sizes:
        offsets.append(total)
        total = total + ceildiv(size, ALIGNMENT) * ALIGNMENT
    return Plan({buffer: offsets[slot] for buffer, slot in slot_of.items()}, total)


def _best(free: list[int], sizes: list[Dim], needed: Dim) -> int:
    """The smallest free slot that is surely large enough, else one that may grow, else a new one."""
    enough = [slot for slot in free if is_nonnegative(sizes[slot] - needed)]
    smaller = [slot for slot in free if is_nonnegative(needed - sizes[slot])]
    if enough:
        chosen = enough[0]
        for slot in enough[1:]:
            if is_nonnegative(sizes[chosen] - sizes[slot]):
                chosen = slot
    elif smaller:
        chosen = smaller[-1]
    else:
        sizes.append(0)
        return len(sizes) - 1
    free.remove(chosen)
    return chosen
