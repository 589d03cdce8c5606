"""Layers that are alike, told once: stretches of lines that differ only in numbers become lines with an index ℓ.

A stretch is found by the shapes of its lines, with numbers and defined names left out. It is told once if every name in it is then the
same in all layers, counts with them (`h.3.weight`), or is a value of the same or of the layer before.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..formula import Equation, Formula, Name, rewritten
from .counting import INDEX, NUMBER, Letter, counting, generalised, shown
from .derivation import Loop, Step
from .numbering import defines, numbered, single

LONGEST = 64  # lines of one layer
LEAST = 6  # lines from which telling once is shorter


def tell_once(*lists: Sequence[Step]) -> tuple[list[tuple[Step, ...]], Callable[[Formula], Formula]]:
    """The lists with repeated layers told once, their values named alike everywhere, and what gives other formulas these names."""
    names: dict[Formula, Name] = {}
    told = [_fold([_rename(step, names) for step in steps], names) for steps in lists]
    told = [_fold(steps, {}, are_numbered=True) for steps in told]
    steps = [step for part in told for step in part]
    numbers = numbered(steps, {name.text for name in names.values()})
    numbers |= single(steps, numbers)
    return [tuple(_rename(step, numbers) for step in part) for part in told], lambda x: rewritten(rewritten(x, names.get), numbers.get)


def _rename(step: Step, names: Mapping[Formula, Name]) -> Step:
    if not names:
        return step
    if step.loop is None:
        return dataclasses.replace(step, formula=rewritten(step.formula, names.get))
    starts = [rewritten(start, names.get) for start in step.loop.starts]
    loop = _rename_loop(step.loop, tuple(start for start in starts if len(set(start.parts)) > 1))
    return dataclasses.replace(step, formula=rewritten(step.formula, names.get), loop=loop)


@functools.lru_cache(maxsize=16)
def _rename_loop(loop: Loop, starts: tuple[Formula, ...]) -> Loop:
    return loop if starts == loop.starts else Loop(loop.index, loop.values, starts)


def _fold(steps: Sequence[Step], names: dict[Formula, Name], are_numbered: bool = False) -> list[Step]:
    """The lines with stretches of them told once. Once values are numbered by layer, what reads them counts with the layers."""
    listing = _Listing(steps, are_numbered)
    shapes: dict[Formula, int] = {}
    keys = [shapes.setdefault(_key(step, listing.defined), len(shapes)) for step in steps]
    told: list[Step] = []
    own: dict[Formula, Name] = {}
    tried: dict[int, int] = {}
    k = 0
    while k < len(steps):
        stretch = _stretch(listing, keys, k, tried)
        if stretch is None:
            told.append(_rename(steps[k], own))
            k += 1
            continue
        told += [_rename(step, own) for step in stretch.told()]
        own |= stretch.names
        k = stretch.end
    names |= own
    return told


class _Listing:
    """Lines, the names in each of them, and which line gives a name its meaning."""

    def __init__(self, steps: Sequence[Step], are_numbered: bool) -> None:
        self.steps = steps
        self.names = [[x for x in step.formula.walk() if isinstance(x, Name)] for step in steps]
        self.own = [defines(step) for step in steps]
        self.defined = {name: k for k, name in enumerate(self.own) if name is not None and steps[k].loop is None and not are_numbered}
        self.places = [[self.defined.get(x) for x in names] for names in self.names]


def _key(step: Step, defined: Mapping[Name, int]) -> Formula:
    def blank(x: Formula) -> Formula | None:
        if not isinstance(x, Name):
            return None
        return Name("•") if x in defined else Name(NUMBER.sub("#", x.text), NUMBER.sub("#", x.subscript))

    # A first layer may read what is no line: an operand that any other name stands for.
    return rewritten(step.formula, blank)


def _stretch(listing: _Listing, keys: Sequence[int], start: int, tried: dict[int, int]) -> _Stretch | None:
    """The longest that begins here, of the shortest layers; of its rotations the one that mixes the fewest layers.

    `tried` tells, for lengths of layers, up to which line nothing was found.
    """
    steps = listing.steps
    for period in range(1, min(LONGEST, (len(steps) - start) // 2) + 1):
        if tried.get(period, 0) > start:
            continue
        count = 1
        while keys[start + count * period : start + (count + 1) * period] == keys[start : start + period] and start + (count + 1) * period <= len(steps):
            count += 1
        if count < 3 and (count < 2 or period * count < LEAST):
            continue
        if any(step.loop is not None for step in steps[start : start + period]):
            continue
        found = _rotations(listing, start, period, count)
        if found:
            return max(found, key=lambda one: (one.count, -one.mixed))
        tried[period] = start + period
    return None


def _rotations(listing: _Listing, start: int, period: int, count: int) -> list[_Stretch]:
    """What can be told once of layers that begin at `start` or later; no more is tried once one fits that mixes no layers."""
    found: list[_Stretch] = []
    for turn in range(period):
        one = _Stretch.of(listing, start + turn, period, (count * period - turn) // period)
        if one is not None and one.saves >= LEAST // 2:
            found.append(one)
            if not one.mixed and one.count >= count - 1:
                break
    return found


@dataclass
class _Stretch:
    """`count` layers of `period` lines from `start` on. `names` gives every value its name by layer; `general` is what stands for a name
    in the lines that are told, by line and place."""

    listing: _Listing
    start: int
    period: int
    count: int
    values: list[int]
    names: dict[Formula, Name] = field(default_factory=dict)
    general: dict[tuple[int, int], Name] = field(default_factory=dict)
    starts: dict[Name, Formula] = field(default_factory=dict)
    mixed: int = 0

    @property
    def end(self) -> int:
        return self.start + self.period * self.count

    @property
    def saves(self) -> int:
        return self.period * (self.count - 1)

    @classmethod
    def of(cls, listing: _Listing, start: int, period: int, count: int) -> _Stretch | None:
        """The stretch if it can be told once, with fewer layers if the last ones do not fit."""
        while count >= 2:
            found = cls(listing, start, period, count, [])
            fits = found._read()
            if fits == count:
                return found
            count = fits
        return None

    def _read(self) -> int:
        """Find what stands for every name. Returns how many layers fit."""
        layers = [self.listing.names[first : first + self.period] for first in range(self.start, self.end, self.period)]
        if any([len(line) for line in layer] != [len(line) for line in layers[0]] for layer in layers):
            return 0
        columns = {(line, place): [layer[line][place] for layer in layers] for line in range(self.period) for place in range(len(layers[0][line]))}
        inside = {place: self._is_inside(*place) for place in columns}
        counted = [columns[at] for at in sorted(columns, key=lambda at: (at[0], -at[1])) if not inside[at]]  # names stand from right to left
        own = self._own_names()
        self.values = counting([*counted, *own], self.count)
        step = self.values[1] - self.values[0]
        letters = self._letters(own)
        for place, column in columns.items():
            fits = self._refer(place, column, letters, step) if inside[place] else self._count(place, column)
            if fits < self.count:
                return fits
        return self.count

    def _is_inside(self, line: int, place: int) -> bool:
        """Whether the name at this place is a value of the stretch in all layers but perhaps the first."""
        places, end = self.listing.places, self.end
        return all((at := places[k][place]) is not None and self.start <= at < end for k in range(self.start + self.period + line, end, self.period))

    def _layer(self, name: Name) -> tuple[int, int] | None:
        """The layer and line that give a name its meaning, if they are in the stretch."""
        position = self.listing.defined.get(name)
        if position is None or not self.start <= position < self.end:
            return None
        return divmod(position - self.start, self.period)

    def _own_names(self) -> list[list[Name]]:
        """For every line the names that it defines in all layers, if it defines any."""
        defined = [self.listing.own[self.start + line : self.end : self.period] for line in range(self.period)]
        return [[x for x in column if x is not None] for column in defined]

    def _letters(self, own: Sequence[Sequence[Name]]) -> list[Letter]:
        """What the value of every line is called. Names that count with the layers stay; others get the layer and a number."""
        texts = [column[0].text if column else "" for column in own]
        made = []
        for line, column in enumerate(own):
            general = generalised(column, self.values) if len(column) == self.count else 0
            if isinstance(general, Name) and column[0].subscript.isdigit():
                made.append(Letter(texts[line], int(column[0].subscript) - self.values[0], ""))
            else:
                made.append(Letter(texts[line], 0, str(texts[: line + 1].count(texts[line]))))
        return made

    def _refer(self, place: tuple[int, int], column: list[Name], letters: Sequence[Letter], step: int) -> int:
        """A name that is a value of the same or an earlier layer."""
        found = [self._layer(x) for x in column]
        lags = [layer - at[0] for layer, at in enumerate(found) if at is not None]
        lag, line = lags[-1], found[-1][1] if found[-1] else 0
        for layer, at in enumerate(found):
            if (at is None and layer >= lag) or (at is not None and (layer - at[0] != lag or at[1] != line)):
                return layer
        letter = letters[line]
        self.general[place] = letter.general(-lag * step)
        for layer in range(self.count):
            own = column[layer] if lag == 0 else None
            if own is not None:
                self.names[own] = letter.at(self.values[layer])
        for layer in range(lag):
            before = letter.at(self.values[0] + (layer - lag) * step)
            if before != column[layer]:
                self.starts[before] = column[layer]
            if column[layer] in self.listing.defined:
                self.names[column[layer]] = before
        return self.count

    def _count(self, place: tuple[int, int], column: list[Name]) -> int:
        """A name whose numbers count with the layers, or stay."""
        general = generalised(column, self.values)
        if isinstance(general, int):
            return general
        self.mixed += INDEX in f"{general.text}{general.subscript}" and any(f"{INDEX}{sign}" in general.subscript for sign in "+−")
        self.general[place] = general
        return self.count

    def told(self) -> list[Step]:
        """The lines of all layers, told once."""
        told = [shown(value) for value in self.values]
        values = tuple(told) if len(told) < 4 else (told[0], told[1], "…", told[-1])
        starts = tuple(Equation((name, value)) for name, value in self.starts.items())
        loop = Loop(INDEX, values, starts)
        return [self._general_step(line, loop) for line in range(self.period)]

    def _general_step(self, line: int, loop: Loop) -> Step:
        step = self.listing.steps[self.start + line]
        meaning: dict[Formula, Formula] = {x: self.general[line, place] for place, x in enumerate(self.listing.names[self.start + line])}
        return dataclasses.replace(step, formula=rewritten(step.formula, meaning.get), loop=loop)
