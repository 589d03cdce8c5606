"""Formulas of arithmetic: sums, products, fractions, powers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..record import record
from .tree import ATOM, MATRIX, PRODUCT, SUM, SUPERSCRIPT, Formula, Number

if TYPE_CHECKING:
    from .notation import Pen


def is_number(x: Formula) -> bool:
    """Whether it is a number, a size, or a power of one."""
    return isinstance(x.base if isinstance(x, Superscript) else x, Number)


@record
class Negative(Formula):
    """−x"""

    body: Formula

    @property
    def binding(self) -> int:
        return SUM

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.body,)

    def draw(self, pen: Pen) -> str:
        return pen.row(pen.operator("−", prefix=True), pen.inside(self.body, PRODUCT))


@record
class Sum(Formula):
    """Terms added; those that are `Negative` are taken away."""

    terms: tuple[Formula, ...]

    @property
    def binding(self) -> int:
        return SUM

    @property
    def parts(self) -> tuple[Formula, ...]:
        return self.terms

    def draw(self, pen: Pen) -> str:
        drawn: list[str] = []
        for term in self.terms:
            body = term.body if isinstance(term, Negative) else term
            if isinstance(term, Negative):
                drawn.append(pen.operator("−", prefix=not drawn))
            elif drawn:
                drawn.append(pen.operator("+"))
            # What follows a Σ would be read as part of it.
            drawn.append(pen.inside(body, SUPERSCRIPT if isinstance(body, Over) and term is not self.terms[-1] else PRODUCT))
        return pen.row(*drawn)


@record
class Product(Formula):
    """Elementwise; numbers stand in front without a sign."""

    factors: tuple[Formula, ...]

    @property
    def binding(self) -> int:
        return PRODUCT

    @property
    def parts(self) -> tuple[Formula, ...]:
        return self.factors

    def draw(self, pen: Pen) -> str:
        drawn: list[str] = []
        for k, factor in enumerate(self.factors):
            if k:
                drawn.append(pen.space() if is_number(self.factors[k - 1]) else pen.operator("⊙"))
            drawn.append(pen.inside(factor, SUPERSCRIPT))
        return pen.row(*drawn)


@record
class MatrixProduct(Formula):
    """Matrices side by side."""

    factors: tuple[Formula, ...]

    @property
    def binding(self) -> int:
        return MATRIX

    @property
    def parts(self) -> tuple[Formula, ...]:
        return self.factors

    def draw(self, pen: Pen) -> str:
        drawn = [pen.inside(factor, SUPERSCRIPT) for factor in self.factors]
        return pen.row(*(part for k, factor in enumerate(drawn) for part in ((pen.space(), factor) if k else (factor,))))


@record
class Fraction(Formula):
    """x / y, elementwise."""

    top: Formula
    bottom: Formula

    @property
    def binding(self) -> int:
        return PRODUCT

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.top, self.bottom)

    def draw(self, pen: Pen) -> str:
        return pen.fraction(self.top, self.bottom)


@record
class Superscript(Formula):
    """A power, or `T` for a transpose."""

    base: Formula
    above: Formula

    @property
    def binding(self) -> int:
        return SUPERSCRIPT

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.base, self.above)

    def draw(self, pen: Pen) -> str:
        return pen.superscript(pen.inside(self.base, ATOM), self.above.draw(pen), compound=self.above.binding < ATOM)


@record
class Over(Formula):
    """A large operator such as Σ over an index."""

    sign: str
    index: str
    body: Formula

    @property
    def binding(self) -> int:
        return PRODUCT

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.body,)

    def draw(self, pen: Pen) -> str:
        return pen.row(pen.large(self.sign, self.index), pen.space(), pen.inside(self.body, PRODUCT))
