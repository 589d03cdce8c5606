"""Names that count with the layers of a stretch of lines."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

from ..formula import Name
from ..record import record

INDEX = "ℓ"
NUMBER = re.compile(r"−?\d+")


@record
class Letter:
    """What a line's value is called: its number is that of the layer and `offset`, or it has the layer and a number of its own."""

    text: str
    offset: int
    number: str

    def at(self, layer: int) -> Name:
        """The name in a layer of that number."""
        return Name(self.text, joined(shown(layer + self.offset), self.number))

    def general(self, shift: int) -> Name:
        """The name in the layer `shift` behind the one that ℓ counts."""
        return Name(self.text, joined(shifted(shift + self.offset), self.number))


def counting(columns: Iterable[Sequence[Name]], count: int) -> list[int]:
    """The numbers of the layers: those in the first name that counts, from 0 or more if there is such a name; else from 1."""
    below: list[int] = []
    for x, y, *_ in (column for column in columns if len(column) > 1):
        numbers = () if x == y else zip(numbers_of(f"{x.text} {x.subscript}"), numbers_of(f"{y.text} {y.subscript}"), strict=False)
        for first, second in numbers:
            if first != second:
                values = [value_of(first) + k * (value_of(second) - value_of(first)) for k in range(count)]
                if min(values) >= 0:
                    return values
                below = below or values
    return below or list(range(1, count + 1))


def generalised(column: Sequence[Name], values: Sequence[int]) -> Name | int:
    """The name with ℓ for the number that counts; or the first layer where it does not."""
    first = column[0]
    parts = [numbers_of(x.subscript) for x in column]
    if any(x.text != first.text for x in column):
        return next(k for k, x in enumerate(column) if x.text != first.text)
    made = []
    for place, number in enumerate(parts[0]):
        offsets = [value_of(numbers[place]) - values[k] for k, numbers in enumerate(parts)]
        if all(numbers[place] == number for numbers in parts):
            made.append(number)
        elif len(set(offsets)) == 1:
            made.append(shifted(offsets[0]))
        else:
            same, counted = (next((k for k, x in enumerate(xs) if x != xs[0]), len(xs)) for xs in ([p[place] for p in parts], offsets))
            return max(same, counted)
    numbers = iter(made)
    return Name(first.text, NUMBER.sub(lambda _: next(numbers), first.subscript))


@functools.lru_cache(maxsize=1 << 16)
def numbers_of(text: str) -> tuple[str, ...]:
    """The numbers in a text."""
    return tuple(NUMBER.findall(text))


def value_of(number: str) -> int:
    """The value of a number as names have it, with a typographic minus."""
    return int(number.replace("−", "-"))


def shown(value: int) -> str:
    """A number as names have it."""
    return str(value).replace("-", "−")


def shifted(offset: int) -> str:
    """ℓ, or ℓ and a number."""
    return INDEX if not offset else f"{INDEX}{'+' if offset > 0 else '−'}{abs(offset)}"


def joined(layer: str, number: str) -> str:
    """The subscript of a layer and of a number in it, if there is one."""
    return f"{layer},{number}" if number else layer
