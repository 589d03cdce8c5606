"""Products and quotients as a sign, what is multiplied and what divides; literal numbers are worked out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction as Ratio

from .arithmetic import Fraction, Negative, Product, Superscript, is_number
from .tree import Formula, Number

ONE = Number("1")
ZERO = Number("0")
Factors = tuple[bool, list[Formula], list[Formula]]  # whether negative, what is multiplied, what divides
_LITERAL = re.compile(r"\d+(\.\d*)?(e[+-]?\d+)?")
_LARGEST = 10**6  # of numbers that are shown as fractions


def split(x: Formula) -> Factors:
    """What is multiplied in `x`, and what divides it."""
    if isinstance(x, Negative):
        sign, top, bottom = split(x.body)
        return not sign, top, bottom
    if isinstance(x, Fraction):
        (left, a, b), (right, c, d) = split(x.top), split(x.bottom)
        return left != right, a + d, b + c
    return False, list(x.factors) if isinstance(x, Product) else [] if x == ONE else [x], []


def joined(factors: Factors) -> tuple[bool, Formula]:
    """Whether the product is negative, and its magnitude; numbers that stand above and below are cancelled."""
    negative, top, bottom = factors
    for common in [x for x in top if isinstance(x, Number) and x in bottom]:
        if common in bottom:
            top.remove(common)
            bottom.remove(common)
    top, bottom = _worked_out(top, bottom)
    return negative, product(top) if not bottom else Fraction(product(top), product(bottom))


def product(factors: Iterable[Formula]) -> Formula:
    """Numbers in front, what occurs several times as a power."""
    powers: dict[Formula, int] = {}
    for factor in factors:
        base, exponent = _power(factor)
        powers[base] = powers.get(base, 0) + exponent
    made = [base if exponent == 1 else Superscript(base, Number(str(exponent))) for base, exponent in powers.items()]
    ordered = sorted(made, key=lambda x: not is_number(x))
    return ONE if not ordered else ordered[0] if len(ordered) == 1 else Product(tuple(ordered))


def _power(x: Formula) -> tuple[Formula, int]:
    if isinstance(x, Superscript) and isinstance(x.above, Number) and x.above.text.isdigit():
        return x.base, int(x.above.text)
    return x, 1


def _worked_out(top: Sequence[Formula], bottom: Sequence[Formula]) -> tuple[list[Formula], list[Formula]]:
    """Several literal numbers as one: whole, one over a whole one, or a fraction if all were whole."""
    above, below = _literals(top), _literals(bottom)
    divisor = math.prod(map(Ratio, below), start=Ratio(1))
    if len(above) + len(below) < 2 or not divisor:
        return list(top), list(bottom)
    over, under = ([x for x in side if not _literals([x])] for side in (top, bottom))
    value = math.prod(map(Ratio, above), start=Ratio(1)) / divisor
    is_exact = all(map(str.isdigit, above + below)) or 1 in (value.numerator, value.denominator)
    if not is_exact or max(value.numerator, value.denominator) > _LARGEST:
        return [Number(f"{float(value):g}"), *over], under
    front, behind = ([Number(str(part))] if part != 1 else [] for part in (value.numerator, value.denominator))
    return [*front, *over], [*behind, *under]


def _literals(factors: Iterable[Formula]) -> list[str]:
    return [x.text for x in factors if isinstance(x, Number) and _LITERAL.fullmatch(x.text)]
