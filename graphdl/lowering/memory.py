"""Memory planning: which temporaries share a place in the arena.

Sizes may be symbolic, so places are not packed by offset but by *slot*: a slot is as large as the largest temporary that ever
lives in it, and a temporary takes a slot whose tenant has died, the best fitting one first. Offsets are then sums of slots,
computed at the call. The same slot rule gives in-place results: a kernel that reads a dying temporary only where it writes takes its slot.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..kernel.expression import Buffer
from ..kernel.program import Control, Kernel, Program, Step, read_buffers
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


class Timeline:
    """When every step runs: steps with bodies take the time of all that is in them, from before the first to after the last."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.spans: dict[int, tuple[int, int]] = {}
        self._number(program, 0)

    def _number(self, program: Program, now: int) -> int:
        for step in program.steps:
            begin = now
            for part in step.parts if isinstance(step, Control) else ():
                now = self._number(part, now + 1)
            self.spans[id(step)] = (begin, now)
            now += 1
        return now

    def span(self, step: Step) -> tuple[int, int]:
        """The first and the last moment of a step."""
        return self.spans[id(step)]

    def intervals(self, bytes_of: Mapping[Buffer, Dim]) -> list[Interval]:
        """The life of every temporary, in the order of first use. What lives outside a body lives for all of it."""
        return sorted(self._intervals(self.program, bytes_of), key=lambda one: one.first)

    def _intervals(self, program: Program, bytes_of: Mapping[Buffer, Dim]) -> Iterator[Interval]:
        writer: dict[Buffer, Step] = {}
        first: dict[Buffer, int] = {}
        last: dict[Buffer, int] = {}
        for step in program.steps:
            begin, end = self.span(step)
            for buffer in (*(b.storage for b in step.written), *read_buffers(step)):
                writer.setdefault(buffer, step)
                first.setdefault(buffer, begin)
                last[buffer] = end
            for part in step.parts if isinstance(step, Control) else ():
                yield from self._intervals(part, bytes_of)
        own = {buffer: bytes_of[buffer] for buffer in program.temporaries if buffer in first}
        for buffer, size in own.items():
            yield Interval(buffer, first[buffer], last[buffer], size, _replaceable(writer[buffer], buffer, first, last, own))


def temporaries_of(program: Program) -> Iterator[Buffer]:
    """The temporaries of a program and of the programs in it."""
    yield from program.temporaries
    for step in program.steps:
        for part in step.parts if isinstance(step, Control) else ():
            yield from temporaries_of(part)


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


@functools.lru_cache(maxsize=4096)
def _is_at_least(x: Dim, y: Dim) -> bool:
    """Whether x >= y for all sizes. Equal layers ask the same again and again."""
    return is_nonnegative(x - y)


def _best(free: list[int], sizes: list[Dim], needed: Dim) -> int:
    """The smallest free slot that is surely large enough, else one that may grow, else a new one."""
    enough = [slot for slot in free if _is_at_least(sizes[slot], needed)]
    smaller = [slot for slot in free if _is_at_least(needed, sizes[slot])]
    if enough:
        chosen = enough[0]
        for slot in enough[1:]:
            if _is_at_least(sizes[chosen], sizes[slot]):
                chosen = slot
    elif smaller:
        chosen = smaller[-1]
    else:
        sizes.append(0)
        return len(sizes) - 1
    free.remove(chosen)
    return chosen
