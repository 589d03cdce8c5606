"""The exponentials."""

from __future__ import annotations

from .coefficients import EXP, EXP2
from .expression import Real, fma, greatest, least, polynomial, where
from .registry import function

LOG2_E = 1.4426950408889634
# ln 2 in two parts; n times the first is exact for every n that occurs (Cody & Waite 1980, chapter 6).
LN2 = {"float": (0.693359375, -2.12194440e-4), "double": (6.93147180369123816490e-01, 1.90821492927058770002e-10)}
# Beyond these, exp and exp2 have gone to zero and to infinity; expm1 has gone to -1.
EXP_RANGE = {"float": (-104.5, 89.0), "double": (-746.0, 710.0)}
EXP2_RANGE = {"float": (-151.0, 129.0), "double": (-1076.0, 1025.0)}
EXPM1_LOW = {"float": -18.0, "double": -40.0}


@function("exp", ulp32=1.2, ulp64=1.2)
def exp(x: Real) -> Real:
    """e**x: Cody & Waite's reduction to |r| <= ln(2) / 2 and a minimax polynomial (Muller, *Elementary Functions*, section 11.1)."""
    low, high = EXP_RANGE[x.type.scalar]
    return scaled_exp(greatest(least(x, high), low))


@function("exp2", ulp32=1.1, ulp64=1.3)
def exp2(x: Real) -> Real:
    """2**x: the nearest integer goes to the exponent, the rest to a minimax polynomial."""
    low, high = EXP2_RANGE[x.type.scalar]
    x = greatest(least(x, high), low)
    shifted, n = nearest_integer(x, 1.0, 2 * x.format.bias)
    r = x - n
    return scale(fma(polynomial(r, EXP2), r, 1.0), shifted)


@function("expm1", ulp32=1.5, ulp64=1.75)
def expm1(x: Real) -> Real:
    """e**x - 1 = 2 (2**(n-1) (e**r - 1) + (2**(n-1) - 1/2)), where the halves keep n = bias + 1 finite (Tang, ACM TOMS 18, 1992)."""
    clamped = greatest(least(x, EXP_RANGE[x.type.scalar][1]), EXPM1_LOW[x.type.scalar])
    shifted, r, rest = reduce_exp(clamped, x.format.bias - 1)
    power = (shifted.bits() << x.format.fraction).real()
    grown = r + fma(polynomial(r, EXP), r * r, rest)
    return where(abs(x) < 2.0**-x.format.fraction / 16, x, fma(power, grown, power - 0.5) * 2.0)


@function("sigmoid", ulp32=2.0, ulp64=2.0)
def sigmoid(x: Real) -> Real:
    """1 / (1 + e**-x), as e**x / (1 + e**x) for negative x: no overflow, and denormal results are kept. The rounding error of the
    denominator is put back to first order, in the shadow of the division."""
    negative = x < 0.0
    decayed = exp_negative(-abs(x))
    total = 1.0 + decayed
    quotient = where(negative, decayed, 1.0) / total
    missing = (decayed - (total - 1.0)) * where(negative, 1.0 - quotient, quotient)
    return fma(quotient, -missing, quotient)


def exp_negative(x: Real, low: Real | None = None) -> Real:
    """exp(x + low) for x <= 0 and `low` at most an ulp of x."""
    return scaled_exp(greatest(x, EXP_RANGE[x.type.scalar][0]), low)


def normal_exp(x: Real) -> Real:
    """exp(x) where neither x nor the result is beyond the normal numbers."""
    shifted, r, _ = reduce_exp(x, x.format.bias)
    return _exp_fraction(r) * (shifted.bits() << x.format.fraction).real()


def scaled_exp(x: Real, low: Real | None = None, power: int = 0) -> Real:
    """2**power * exp(x + low) for x within `EXP_RANGE`."""
    shifted, r, _ = reduce_exp(x, 2 * x.format.bias + power)
    return scale(_exp_fraction(r if low is None else r + low), shifted)


def _exp_fraction(r: Real) -> Real:
    """exp(r) for |r| <= ln(2) / 2."""
    return fma(fma(polynomial(r, EXP), r, 1.0), r, 1.0)


def reduce_exp(x: Real, offset: int) -> tuple[Real, Real, Real]:
    """x = n ln 2 + r with |r| <= ln(2) / 2: a number whose low bits hold n + offset, r, and what rounding took from r."""
    shifted, n = nearest_integer(x, LOG2_E, offset)
    high, low = LN2[x.type.scalar]
    coarse = fma(n, -high, x)
    r = fma(n, -low, coarse)
    return shifted, r, fma(n, -low, coarse - r)


def nearest_integer(x: Real, factor: float, offset: int) -> tuple[Real, Real]:
    """n = round(x * factor): as a number whose low bits hold n + offset, and as itself. |n| is at most 2**(fraction - 2)."""
    anchor = x.format.magic + offset
    shifted = x + anchor if factor == 1.0 else fma(x, factor, anchor)
    return shifted, shifted - anchor


def scale(x: Real, shifted: Real) -> Real:
    """x * 2**n, where the low bits of `shifted` hold n + 2 * bias, rounded once: the result may be denormal or overflow.

    Without an instruction for it by two factors, each with half of n and a whole bias.
    """
    if x.is_scaled_at_once:
        return x.scaled(shifted - (x.format.magic + 2 * x.format.bias))
    total, place = shifted.bits(), x.format.fraction
    half = total >> 1
    return x * (half << place).real() * ((total - half) << place).real()
