"""Powers."""

from __future__ import annotations

from ..llvm import F64
from .coefficients import EXP2, POW_LOG, POW_LOG2
from .doubled import doubled_product, ordered_sum, product
from .exponential import EXP2_RANGE, nearest_integer, scale
from .expression import Mask, Real, flip_sign, fma, greatest, least, polynomial, sign_of, where
from .logarithm import reduce_log, reduce_normal
from .registry import function
from .rounding import nearest_even

INFINITY = float("inf")
# log2(e) and 2/3 as the nearest double and the rest.
LOG2_E = (1.4426950408889634, 2.0355273740931033e-17)
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


@function("pow", ulp32=0.6, ulp64=1.4)
def pow(x: Real, y: Real) -> Real:
    """|x|**y = 2**(y log2|x|), with C's special values (fdlibm e_pow.c). Float is computed in double; double carries the logarithm and
    its product with y as sums of two doubles."""
    size, wide = abs(x), F64.with_lanes(x.type.lanes)
    power = _wide_power(size.convert(wide), y.convert(wide)).convert(x.type) if x.single else _doubled_power(size, y)
    whole, odd = _parity(y)
    undefined = (x < 0.0) & (size < INFINITY) & ~whole & (abs(y) < INFINITY)
    signed = where(undefined, float("nan"), where(odd, flip_sign(power, sign_of(x)), power))
    one = x.equals(1.0) | y.equals(0.0) | (size.equals(1.0) & abs(y).equals(INFINITY))
    return where(one, 1.0, signed)


def _parity(y: Real) -> tuple[Mask, Mask]:
    """Whether y is an integer, and whether an odd one."""
    half = y * 0.5
    whole = nearest_even(y).equals(y)
    return whole, whole & nearest_even(half).compare("une", half)


def _wide_power(x: Real, y: Real) -> Real:
    """x**y in double to the accuracy of float, for x >= 0 that are floats."""
    reduced = reduce_normal(x)
    logarithm = fma(polynomial(reduced.r, POW_LOG2), reduced.r, reduced.n)
    exponent = greatest(least(_at_ends(x, logarithm) * y, 200.0), -200.0)
    shifted, n = nearest_integer(exponent, 1.0, exponent.format.bias)
    r = exponent - n
    return fma(polynomial(r, EXP2["float"]), r, 1.0) * (shifted.bits() << exponent.format.fraction).real()


def _doubled_power(x: Real, y: Real) -> Real:
    """x**y for x >= 0. Beyond 2**65, y may as well be 2**65: all powers but those of 1 are 0 or infinity."""
    high, low = _doubled_log2(x)
    y = greatest(least(y, 2.0**65), -(2.0**65))
    exponent, error = product(_at_ends(x, high), y)
    smallest, largest = EXP2_RANGE["double"]
    error = where(abs(exponent) < largest - smallest, fma(low, y, error), 0.0)
    exponent = greatest(least(exponent, largest), smallest)
    shifted, n = nearest_integer(exponent, 1.0, 2 * x.format.bias)
    r = (exponent - n) + error
    return scale(fma(polynomial(r, EXP2), r, 1.0), shifted)


def _doubled_log2(x: Real) -> tuple[Real, Real]:
    """log2 x for x > 0 to about 2**-66 of it: n + log2(e) (2s + s z (2/3 + z P(z))) with s = r / (2 + r), z = s**2."""
    reduced = reduce_log(x)
    s, s_low = _doubled_ratio(reduced.r)
    z, z_low = doubled_product((s, s_low), (s, s_low))
    tail, tail_low = ordered_sum(x.const(TWO_THIRDS[0]), polynomial(z, POW_LOG) * z)
    cubic = doubled_product((s, s_low), doubled_product((z, z_low), (tail, tail_low + TWO_THIRDS[1])))
    natural, error = ordered_sum(s * 2.0, cubic[0])
    scaled, scaled_low = doubled_product((natural, fma(s_low, 2.0, cubic[1]) + error), (x.const(LOG2_E[0]), x.const(LOG2_E[1])))
    total, error = ordered_sum(reduced.n, scaled)
    return ordered_sum(total, error + scaled_low)


def _doubled_ratio(r: Real) -> tuple[Real, Real]:
    """r / (2 + r) as a sum of two numbers."""
    below, below_low = ordered_sum(r.const(2.0), r)
    quotient = r / below
    multiple, error = product(quotient, below)
    return quotient, (((r - multiple) - error) - quotient * below_low) / below


def _at_ends(x: Real, logarithm: Real) -> Real:
    """The logarithm, with that of 0, infinity and NaN."""
    return where(x.equals(0.0), x.const(-INFINITY), where(x < INFINITY, logarithm, x))
