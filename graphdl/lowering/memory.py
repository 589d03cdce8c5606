"""Memory planning: which temporaries share a place in the arena.

Sizes may be symbolic, so places are not packed by offset but by *slot*: a slot is as large as the largest temporary that ever
lives in it. The largest temporaries choose first, and each takes the smallest slot that nobody else lives in at its time. Offsets are
then sums of slots, computed at the call. The same slot rule gives in-place results: a kernel that reads a dying temporary only where
it writes takes its slot.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..kernel.expression import Buffer
from ..kernel.program import Control, Kernel, Program, Step, read_buffers
from ..sizes import Dim, ceildiv, evaluate, is_nonnegative, maximum, symbols_of
from .update import reads_only_in_place

ALIGNMENT = 64
STAGGER = 17 * ALIGNMENT  # between places: equal distances of a power of two would put them into the same sets of the caches
USUAL = 64  # for symbols, where sizes are put in order


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
    slots: list[_Slot] = []
    slot_of: dict[Buffer, _Slot] = {}
    for tenancy in sorted(_tenancies(lives), key=lambda one: (-_guess(one.size), one.first)):
        slot = next((slot for slot in reversed(slots) if slot.is_free(tenancy)), None)  # slots stand from the largest to the smallest
        if slot is None:
            slot = _Slot()
            slots.append(slot)
        slot.take(tenancy)
        slot_of |= dict.fromkeys(tenancy.buffers, slot)
    total: Dim = 0
    for slot in slots:
        slot.offset = total
        total = total + ceildiv(slot.size, ALIGNMENT) * ALIGNMENT + STAGGER
    return Plan({life.buffer: slot_of[life.buffer].offset for life in lives}, total)


@dataclass
class _Tenancy:
    """Temporaries that replace each other in place, from the first moment of the first to the last of the last."""

    buffers: list[Buffer]
    first: int
    last: int
    size: Dim


def _tenancies(lives: Sequence[Interval]) -> list[_Tenancy]:
    """All temporaries, those that replace each other together. Lives come in the order of first use."""
    ending: dict[Buffer, _Tenancy] = {}
    found: list[_Tenancy] = []
    for life in lives:
        tenancy = None if life.replaces is None else ending.pop(life.replaces, None)
        if tenancy is None or tenancy.last != life.first:
            tenancy = _Tenancy([], life.first, life.last, life.size)
            found.append(tenancy)
        tenancy.buffers.append(life.buffer)
        tenancy.last = life.last
        ending[life.buffer] = tenancy
    return found


class _Slot:
    """A place in the arena, and when it is taken: moments in order, a first and a last one for every tenant."""

    def __init__(self) -> None:
        self.sizes: list[Dim] = []  # of tenants, none of which surely covers another
        self.offset: Dim = 0
        self.moments: list[int] = []

    @property
    def size(self) -> Dim:
        """The greatest of all tenants' sizes."""
        return functools.reduce(maximum, self.sizes[1:], self.sizes[0])

    def is_free(self, tenancy: _Tenancy) -> bool:
        """Whether no tenant lives here at any time of this one."""
        place = bisect.bisect_left(self.moments, tenancy.first)
        return place % 2 == 0 and bisect.bisect_right(self.moments, tenancy.last) == place

    def take(self, tenancy: _Tenancy) -> None:
        """Become large enough, and be taken for the time."""
        if not any(_covers(size, tenancy.size) for size in self.sizes):
            self.sizes = [size for size in self.sizes if not _covers(tenancy.size, size)] + [tenancy.size]
        place = bisect.bisect_left(self.moments, tenancy.first)
        self.moments[place:place] = [tenancy.first, tenancy.last]


@functools.lru_cache(1 << 16)  # a thousand temporaries have a few dozen sizes
def _covers(large: Dim, small: Dim) -> bool:
    """Whether `large` is surely no less than `small`."""
    return is_nonnegative(large - small)


@functools.lru_cache(1 << 16)
def _guess(size: Dim) -> int:
    """The size if all symbols are one number: only who chooses first depends on it, not what is correct."""
    return evaluate(size, dict.fromkeys(symbols_of(size), USUAL))
