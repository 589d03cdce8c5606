"""Formulas: what ops and their derivatives say in mathematics. A small tree, drawn as text, LaTeX or MathML by `notation`.

The functions at the end build formulas and keep them in a readable form: signs and divisors stand outside, sums lead with
a positive term, ones and double transposes vanish. They simplify by the laws of real numbers, for reading, not for running.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .notation import Pen

RELATION, SUM, PRODUCT, MATRIX, SUPERSCRIPT, ATOM = range(6)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Name(Formula):
    """A letter or word, perhaps with a subscript."""

    text: str
    subscript: str = ""

    def draw(self, pen: Pen) -> str:
        return pen.name(self.text, self.subscript)


@dataclass(frozen=True)
class Number(Formula):
    """A non-negative number, or a size, which is one: the same everywhere in a tensor."""

    text: str

    @property
    def binding(self) -> int:
        return ATOM if self.text.isalnum() or self.text.replace(".", "").isdigit() else SUM

    def draw(self, pen: Pen) -> str:
        return pen.number(self.text)


@dataclass(frozen=True)
class Counter(Formula):
    """0, 1, 2 ... along one axis, counted from the last; None where reshaping lost it."""

    axis: int | None

    def draw(self, pen: Pen) -> str:
        return pen.name("ι", "" if self.axis in (None, 0) else str(self.axis))


@dataclass(frozen=True)
class Negative(Formula):
    body: Formula

    @property
    def binding(self) -> int:
        return SUM

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.body,)

    def draw(self, pen: Pen) -> str:
        return pen.row(pen.operator("−", prefix=True), pen.inside(self.body, PRODUCT))


@dataclass(frozen=True)
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
        drawn = [self.terms[0].draw(pen)]
        for term in self.terms[1:]:
            taken = isinstance(term, Negative)
            body = term.body if isinstance(term, Negative) else term
            drawn += [pen.operator("−" if taken else "+"), pen.inside(body, PRODUCT)]
        return pen.row(*drawn)


@dataclass(frozen=True)
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
                drawn.append(pen.space() if isinstance(self.factors[k - 1], Number) else pen.operator("⊙"))
            drawn.append(pen.inside(factor, SUPERSCRIPT))
        return pen.row(*drawn)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Fraction(Formula):
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
        return pen.row(pen.function(self.function, self.subscript, self.primes), pen.fenced("(", _listed(self.arguments, pen), ")"))


@dataclass(frozen=True)
class OneHot(Call):
    """1 where the argument equals the place along `axis` (counted from the last), else 0."""

    axis: int | None = None


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Relation(Formula):
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Indexed(Formula):
    """Elements of a tensor: x[i, j]."""

    base: Formula
    indices: tuple[Formula, ...]

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.base, *self.indices)

    def draw(self, pen: Pen) -> str:
        return pen.row(pen.inside(self.base, ATOM), pen.fenced("[", _listed(self.indices, pen), "]"))


@dataclass(frozen=True)
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
        return pen.row(pen.operator("d", prefix=True), pen.inside(self.body, SUPERSCRIPT))


@dataclass(frozen=True)
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


def _listed(formulas: Sequence[Formula], pen: Pen) -> str:
    drawn = [x.draw(pen) for x in formulas]
    return pen.row(*(part for k, x in enumerate(drawn) for part in ((pen.comma(), x) if k else (x,))))


ONE = Number("1")
ZERO = Number("0")
_T = Name("T")
_Factors = tuple[bool, list[Formula], list[Formula]]  # whether negative, what is multiplied, what divides


def number(value: object) -> Formula:
    """A number or size, its sign outside."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    whole = isinstance(value, (int, float)) or text[1:].isalnum()
    return Negative(Number(text[1:])) if whole and text.startswith("-") else Number(text)


def call(function: str, *arguments: Formula) -> Formula:
    return Call(function, arguments)


def negate(x: Formula) -> Formula:
    if isinstance(x, Negative):
        return x.body
    if isinstance(x, Sum) and any(isinstance(term, Negative) for term in x.terms):
        return add(*map(negate, x.terms))
    return x if x == ZERO else Negative(x)


def add(*terms: Formula) -> Formula:
    """A sum, flat; a divisor that all terms share is taken out."""
    flat = [part for term in terms for part in (term.terms if isinstance(term, Sum) else (term,)) if part != ZERO]
    if len(flat) < 2:
        return flat[0] if flat else ZERO
    split = [_split(term) for term in flat]
    shared = split[0][2]
    if shared and all(bottom == shared for _, _, bottom in split):
        return divide(add(*(_join((sign, top, [])) for sign, top, _ in split)), _join((False, shared, [])))
    lead = next((k for k, term in enumerate(flat) if not isinstance(term, Negative)), 0)
    return Sum((flat[lead], *flat[:lead], *flat[lead + 1 :]))


def subtract(x: Formula, y: Formula) -> Formula:
    return add(x, negate(y))


def multiply(x: Formula, y: Formula) -> Formula:
    (left, a, b), (right, c, d) = _split(x), _split(y)
    return ZERO if ZERO in (x, y) else _join((left != right, a + c, b + d))


def divide(x: Formula, y: Formula) -> Formula:
    (left, a, b), (right, c, d) = _split(x), _split(y)
    return ZERO if x == ZERO else _join((left != right, a + d, b + c))


def _split(x: Formula) -> _Factors:
    if isinstance(x, Negative):
        sign, top, bottom = _split(x.body)
        return not sign, top, bottom
    if isinstance(x, Fraction):
        (left, a, b), (right, c, d) = _split(x.top), _split(x.bottom)
        return left != right, a + d, b + c
    return False, list(x.factors) if isinstance(x, Product) else [] if x == ONE else [x], []


def _join(factors: _Factors) -> Formula:
    negative, top, bottom = factors
    for common in [x for x in top if isinstance(x, Number) and x in bottom]:
        if common in bottom:
            top.remove(common)
            bottom.remove(common)
    body = _product(top) if not bottom else Fraction(_product(top), _product(bottom))
    return negate(body) if negative else body


def _product(factors: Sequence[Formula]) -> Formula:
    ordered = sorted(factors, key=lambda x: not isinstance(x, Number))
    return ONE if not ordered else ordered[0] if len(ordered) == 1 else Product(tuple(ordered))


def matmul(x: Formula, y: Formula) -> Formula:
    """Matrices side by side; the product is associative, so it is flat."""
    (left, a), (right, b) = _unsigned(x), _unsigned(y)
    factors = tuple(part for side in (a, b) for part in (side.factors if isinstance(side, MatrixProduct) else (side,)))
    return negate(MatrixProduct(factors)) if left != right else MatrixProduct(factors)


def _unsigned(x: Formula) -> tuple[bool, Formula]:
    return (True, x.body) if isinstance(x, Negative) else (False, x)


def transposed(x: Formula) -> Formula:
    if isinstance(x, Superscript) and x.above == _T:
        return x.base
    if isinstance(x, Negative):
        return negate(transposed(x.body))
    if isinstance(x, MatrixProduct):
        return MatrixProduct(tuple(transposed(factor) for factor in reversed(x.factors)))
    return x if isinstance(x, Number) else Superscript(x, _T)


def power(x: Formula, y: Formula) -> Formula:
    return x if y == ONE else Superscript(x, y)


def equal(x: Formula, y: Formula) -> Formula:
    """[x = y]; a comparison with the place along an axis is an indicator vector."""
    if isinstance(x, Counter):
        x, y = y, x
    if isinstance(y, Counter) and not isinstance(x, Counter):
        return OneHot("onehot", (x,), axis=y.axis)
    return related(x, "=", y)


def related(x: Formula, sign: str, y: Formula) -> Formula:
    return Fenced("[", Relation(x, sign, y), "]")


def total(axes: Sequence[int], sizes: Sequence[object], index: str, x: Formula) -> Formula:
    """Σ over axes (counted from the last) of these sizes; what is the same along them stands in front."""
    negative, top, bottom = _split(x)
    inner = [part for part in top if not isinstance(part, Number)]
    under = [part for part in bottom if not isinstance(part, Number)]
    front: _Factors = (negative, [part for part in top if isinstance(part, Number)], [part for part in bottom if isinstance(part, Number)])
    if not inner and not under:
        return multiply(_join(front), _product([Number(str(size)) for size in sizes if size != 1]))
    body = _join((False, inner, under))
    if isinstance(body, OneHot) and list(axes) == [body.axis]:
        return _join(front)
    if isinstance(body, Over) and body.sign == "Σ" and not index:  # a sum of sums over all that is left
        body = body.body
    return multiply(_join(front), Over("Σ", index, body))


def reshaped(x: Formula) -> Formula:
    """`x` after its axes moved: what counts places along an axis no longer knows which."""
    if isinstance(x, Counter):
        return Counter(None)
    return OneHot(x.function, x.arguments) if isinstance(x, OneHot) else x


def magnitude(x: Formula) -> Formula:
    return Fenced("|", x, "|")


_LETTERS = {"weight": "W", "bias": "b"}


def label_name(label: str) -> Name:
    """The letter for a label: `W1` is W with subscript 1, `encoder.0.weight` W with subscript encoder.0."""
    path, _, last = label.rpartition(".")
    letter = last.rstrip("0123456789")
    if path or not letter or letter.endswith("_"):
        return Name(_LETTERS.get(last, last), path)
    return Name(_LETTERS.get(letter, letter), last[len(letter) :])
