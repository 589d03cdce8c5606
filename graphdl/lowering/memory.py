"""Memory planning: which temporaries share a place in the arena.

Sizes may be symbolic, so places are not packed by offset but by *slot*: a slot is as large as the largest temporary that ever
lives in it. The largest temporaries choose first, and each takes the smallest slot that nobody else lives in at its time, or where it
surely fits beside those who do. Offsets are then sums of slots, computed at the call. The same slot rule gives in-place results: a kernel
that reads a dying temporary only where it writes takes its slot.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..kernel.counting import bytes_of_type
from ..kernel.expression import Buffer
from ..kernel.program import Control, Kernel, Program, Step, read_buffers
from ..record import record
from ..sizes import Dim, ceildiv, evaluate, is_nonnegative, maximum, mod, symbols_of
from .update import reads_only_in_place

ALIGNMENT = 64
STAGGER = 17 * ALIGNMENT  # between places: equal distances of a power of two would put them into the same sets of the caches
USUAL = 64  # for symbols, where sizes are put in order


@record
class Interval:
    """A temporary: from the step that writes it first to the last one that touches it. `replaces` may give up its slot to it."""

    buffer: Buffer
    first: int
    last: int
    size: Dim
    replaces: Buffer | None = None


@record
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


def held_bytes(program: Program) -> Dim:
    """The bytes that a call holds beside the arena: inputs, results, parameters and constants."""
    held = [*program.inputs, *program.outputs, *program.parameters, *program.constants]
    return sum((bytes_of_type(buffer.type) for buffer in held), 0)


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
    """Give every temporary a place in a slot, and slots their offsets."""
    slots: list[_Slot] = []
    place_of: dict[Buffer, tuple[_Slot, Dim]] = {}
    for tenancy in sorted(tenancies(lives), key=lambda one: (-_guess(one.size), one.first)):
        found = ((slot, place) for slot in reversed(slots) if (place := slot.place_for(tenancy)) is not None)  # slots stand from the largest to the smallest
        slot, place = next(found, (None, GROUND))
        if slot is None:
            slot = _Slot()
            slots.append(slot)
        slot.take(tenancy, place)
        place_of |= dict.fromkeys(tenancy.buffers, (slot, place.begin))
    total: Dim = 0
    for slot in slots:
        slot.offset = total
        total = total + ceildiv(slot.size, ALIGNMENT) * ALIGNMENT + slot.staggers * STAGGER
    return Plan({life.buffer: place_of[life.buffer][0].offset + place_of[life.buffer][1] for life in lives}, total)


@dataclass
class Tenancy:
    """Temporaries that replace each other in place, from the first moment of the first to the last of the last."""

    buffers: list[Buffer]
    first: int
    last: int
    size: Dim


def tenancies(lives: Sequence[Interval]) -> list[Tenancy]:
    """All temporaries, those that replace each other together. Lives come in the order of first use."""
    ending: dict[Buffer, Tenancy] = {}
    found: list[Tenancy] = []
    for life in lives:
        tenancy = None if life.replaces is None else ending.pop(life.replaces, None)
        if tenancy is None or tenancy.last != life.first:
            tenancy = Tenancy([], life.first, life.last, life.size)
            found.append(tenancy)
        tenancy.buffers.append(life.buffer)
        tenancy.last = life.last
        ending[life.buffer] = tenancy
    return found


@record
class _Place:
    """Where in a slot somebody lives: `below` counts the others under it, from each of which it stands a stagger apart."""

    begin: Dim
    below: int


GROUND = _Place(0, 0)


@record
class _Tenant:
    """Who lives in a slot, from when to when, and from where to where."""

    first: int
    last: int
    place: _Place
    end: Dim
    above: tuple[_Place, ...]  # the place over it, if that is aligned
    least: int  # the end for usual sizes


class _Slot:
    """A place in the arena, as large as its largest tenant. Smaller ones live there at the same time where they surely fit beside each other."""

    def __init__(self) -> None:
        self.sizes: list[Dim] = []  # of tenants, none of which surely covers another
        self.offset: Dim = 0
        self.staggers = 1
        self.tenants: list[_Tenant] = []  # in the order of their first moments
        self.longest = 0  # moments that one of them lives
        self.full: list[int] = []  # first and last moments, in order, of those who leave no room beside them

    @property
    def size(self) -> Dim:
        """The greatest of all tenants' sizes."""
        return functools.reduce(maximum, self.sizes[1:], self.sizes[0])

    def place_for(self, tenancy: Tenancy) -> _Place | None:
        """The lowest place where no tenant lives at any time of this one; None if there is none."""
        if self._is_full(tenancy):
            return None
        others = self._at_the_time_of(tenancy)
        if not others:
            return GROUND
        if _guess(self.size) < _guess(tenancy.size) + min((one.least for one in others if one.place is GROUND), default=0):
            return None  # whatever would fit for all sizes fits for the usual ones
        places = (GROUND, *(place for one in others for place in one.above))
        return next((place for place in places if self._fits(place, tenancy.size, others)), None)

    def _is_full(self, tenancy: Tenancy) -> bool:
        place = bisect.bisect_left(self.full, tenancy.first)
        return place % 2 == 1 or bisect.bisect_right(self.full, tenancy.last) != place

    def _at_the_time_of(self, tenancy: Tenancy) -> list[_Tenant]:
        begin = bisect.bisect_left(self.tenants, tenancy.first - self.longest, key=_first)
        end = bisect.bisect_right(self.tenants, tenancy.last, key=_first)
        return [one for one in self.tenants[begin:end] if tenancy.first <= one.last]

    def _fits(self, place: _Place, size: Dim, others: Sequence[_Tenant]) -> bool:
        end = place.begin + size
        if not _covers(self.size + place.below * STAGGER, end):
            return False
        return all(_covers(place.begin, one.end) or _covers(one.place.begin, end) for one in others)

    def take(self, tenancy: Tenancy, place: _Place) -> None:
        """Become large enough, and be taken for the time."""
        if not place.below and not any(_covers(size, tenancy.size) for size in self.sizes):
            self.sizes = [size for size in self.sizes if not _covers(tenancy.size, size)] + [tenancy.size]
        if not place.below and _guess(tenancy.size) == _guess(self.size):
            begin = bisect.bisect_left(self.full, tenancy.first)
            self.full[begin:begin] = [tenancy.first, tenancy.last]
        self.staggers = max(self.staggers, place.below + 1)
        end = place.begin + tenancy.size
        above = (_Place(end + STAGGER, place.below + 1),) if _is_aligned(end) else ()
        bisect.insort(self.tenants, _Tenant(tenancy.first, tenancy.last, place, end, above, _guess(end)), key=_first)
        self.longest = max(self.longest, tenancy.last - tenancy.first)


def _first(tenant: _Tenant) -> int:
    return tenant.first


@functools.lru_cache(1 << 16)
def _is_aligned(size: Dim) -> bool:
    """Whether a size is surely a multiple of the alignment."""
    return mod(size, ALIGNMENT) == 0


@functools.lru_cache(1 << 16)  # a thousand temporaries have a few dozen sizes
def _covers(large: Dim, small: Dim) -> bool:
    """Whether `large` is surely no less than `small`."""
    return is_nonnegative(large - small)


@functools.lru_cache(1 << 16)
def _guess(size: Dim) -> int:
    """The size if all symbols are one number: only who chooses first depends on it, not what is correct."""
    return evaluate(size, dict.fromkeys(symbols_of(size), USUAL))
