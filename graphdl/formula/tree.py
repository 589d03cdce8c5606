"""The nodes of formulas. Each draws itself with a pen's few strokes and tells how tightly it holds together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..record import record

if TYPE_CHECKING:
    from .notation import Pen

RELATION, SUM, PRODUCT, MATRIX, SUPERSCRIPT, ATOM = range(6)
_SCIENTIFIC = re.compile(r"([\d.]+)e([+-]?)0*(\d+)")


@record
class Formula:
    """The base. `binding` tells how tightly a formula holds together: looser ones are bracketed inside tighter ones."""

    @property
    def binding(self) -> int:
        return ATOM

    @property
    def parts(self) -> tuple[Formula, ...]:
        return ()

    def draw(self, pen: Pen) -> str:
        raise NotImplementedError

    def walk(self) -> Iterator[Formula]:
        """This formula and all below it."""
        pending: list[Formula] = [self]
        while pending:
            found = pending.pop()
            yield found
            pending.extend(found.parts)

    def __str__(self) -> str:
        from .notation import UnicodePen

        return self.draw(UnicodePen())


@record
class Name(Formula):
    """A letter or word, perhaps with a subscript."""

    text: str
    subscript: str = ""

    def draw(self, pen: Pen) -> str:
        return pen.name(self.text, self.subscript)


@record
class Number(Formula):
    """A non-negative number, or a size, which is one: the same everywhere in a tensor."""

    text: str

    @property
    def binding(self) -> int:
        if _SCIENTIFIC.fullmatch(self.text):
            return SUPERSCRIPT if self.text.startswith("1e") else PRODUCT
        return ATOM if self.text.isalnum() or self.text.replace(".", "").isdigit() else SUM

    def draw(self, pen: Pen) -> str:
        found = _SCIENTIFIC.fullmatch(self.text)
        if found is None:
            return pen.number(self.text)
        mantissa, sign, exponent = found.groups()
        above = pen.row(*([pen.operator("−", prefix=True)] if sign == "-" else []), pen.number(exponent))
        power = pen.superscript(pen.number("10"), above, compound=False)
        return power if mantissa == "1" else pen.row(pen.number(mantissa), pen.operator("·"), power)


@record
class Counter(Formula):
    """0, 1, 2 ... along one axis, counted from the last; None where reshaping lost it."""

    axis: int | None

    def draw(self, pen: Pen) -> str:
        return pen.name("ι", "" if self.axis in (None, 0) else str(self.axis))


@record
class Call(Formula):
    """A named function of arguments; a derivative of it has primes."""

    function: str
    arguments: tuple[Formula, ...]
    subscript: str = ""
    primes: int = 0

    @property
    def parts(self) -> tuple[Formula, ...]:
        return self.arguments

    def draw(self, pen: Pen) -> str:
        return pen.row(pen.function(self.function, self.subscript, self.primes), pen.fenced("(", listed(self.arguments, pen), ")"))


@record
class OneHot(Call):
    """1 where the argument equals the place along `axis` (counted from the last), else 0."""

    axis: int | None = None


@record
class Fenced(Formula):
    """Between two signs: |x|, ⌊x⌋, [x = y] (1 where that holds, else 0)."""

    left: str
    body: Formula
    right: str

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.body,)

    def draw(self, pen: Pen) -> str:
        return pen.fenced(self.left, self.body.draw(pen), self.right)


@record
class Relation(Formula):
    """Two formulas compared."""

    left: Formula
    sign: str
    right: Formula

    @property
    def binding(self) -> int:
        return RELATION

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.left, self.right)

    def draw(self, pen: Pen) -> str:
        return pen.row(pen.inside(self.left, SUM), pen.operator(self.sign), pen.inside(self.right, SUM))


@record
class Indexed(Formula):
    """Elements of a tensor: x[i, j]."""

    base: Formula
    indices: tuple[Formula, ...]

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.base, *self.indices)

    def draw(self, pen: Pen) -> str:
        return pen.row(pen.inside(self.base, ATOM), pen.fenced("[", listed(self.indices, pen), "]"))


@record
class Differential(Formula):
    """dx"""

    body: Formula

    @property
    def binding(self) -> int:
        return SUPERSCRIPT

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.body,)

    def draw(self, pen: Pen) -> str:
        body = self.body.draw(pen)
        return pen.row(pen.operator("d", prefix=True), body if isinstance(self.body, Name) else pen.fenced("(", body, ")"))


@record
class Equation(Formula):
    """Sides that are all equal."""

    sides: tuple[Formula, ...]

    @property
    def binding(self) -> int:
        return RELATION

    @property
    def parts(self) -> tuple[Formula, ...]:
        return self.sides

    def draw(self, pen: Pen) -> str:
        drawn = [pen.inside(side, SUM) for side in self.sides]
        return pen.row(*(part for k, side in enumerate(drawn) for part in ((pen.operator("="), side) if k else (side,))))


def listed(formulas: Sequence[Formula], pen: Pen) -> str:
    """Formulas with commas between."""
    drawn = [x.draw(pen) for x in formulas]
    return pen.row(*(part for k, x in enumerate(drawn) for part in ((pen.comma(), x) if k else (x,))))
