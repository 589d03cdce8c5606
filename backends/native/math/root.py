"""The cube root."""

from __future__ import annotations

from .expression import Bits, Real, copy_sign, fma, polynomial, where
from .registry import function

# Integers whose difference with a third of a number's bits is nearly its inverse cube root.
INVERSE_GUESS = {"float": 0x54A232A3, "double": 0x553EF0FF289DD796}
# The binomial series of (1 - h)**(-1/3), less 1 and over h.
SERIES = (1 / 3, 2 / 9, 14 / 81, 35 / 243)


@function("cbrt", ulp32=1.0, ulp64=1.0)
def cbrt(x: Real) -> Real:
    """x**(1/3) without division: an inverse cube root guessed from the bits and refined by its binomial series (Kahan, "Computing a
    real cube root", 1991), then one Newton step."""
    size = abs(x)
    tiny = size < x.format.smallest_normal * 16.0
    lift = (x.format.fraction + 3) // 3
    a = where(tiny, size * 8.0**lift, size)
    inverse = _inverse_guess(a)
    for _ in range(1 if x.single else 2):
        gap = 1.0 - a * inverse * inverse * inverse
        inverse = fma(polynomial(gap, SERIES) * gap, inverse, inverse)
    square = inverse * inverse
    near = a * square
    quarter = fma(near * near, near * -0.25, a * 0.25)  # of a - near**3, which may overflow on its way
    root = fma(quarter, square * (4 / 3), near)
    regular = (size > 0.0) & (size < float("inf"))
    return where(regular, copy_sign(where(tiny, root * 0.5**lift, root), x), x)


def _inverse_guess(x: Real) -> Real:
    """The bits are divided by 3 as a number: their upper part is put below the exponent of 2**fraction and taken out again."""
    dropped, unit = (8, 2.0**23) if x.single else (12, 2.0**52)
    number = ((x.bits() >> dropped) | x.const(unit).bits()).real() - unit
    third: Bits = fma(number, 1 / 3, unit).bits() << dropped
    return (INVERSE_GUESS[x.type.scalar] - third).real()
