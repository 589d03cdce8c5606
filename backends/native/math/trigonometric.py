"""Sine, cosine and tangent."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

from ..llvm import F64, I64, Type, Value
from .coefficients import COS, SIN
from .expression import Bits, Real, copy_sign, flip_sign, fma, polynomial, sign_of, where
from .payne_hanek import pi_scaled, reduce_huge
from .rare import call_lanewise, rarely
from .registry import function

# Up to here subtraction in parts keeps its bound; beyond it every bit of pi that matters is used.
NEAR = {"float": 2.0**17, "double": 2.0**20}
WHOLE, HALF = Fraction(1), Fraction(1, 2)


@function("sin", ulp32=2.0, ulp64=2.4)
def sin(x: Real) -> Real:
    """(-1)**n sin(r) with x = n pi + r and one minimax polynomial on |r| <= pi / 2; for the reduction see `reduce_pi`."""
    r, n = reduce_pi(abs(x), WHOLE)
    return flip_sign(_sine(r), sign_of(x) ^ _parity_sign(n))


@function("cos", ulp32=2.0, ulp64=2.4)
def cos(x: Real) -> Real:
    """-(-1)**n sin(r) with x = (n + 1/2) pi + r; for the reduction see `reduce_pi`."""
    r, n = reduce_pi(abs(x), WHOLE, half=True)
    return flip_sign(_sine(-r), _parity_sign(n))


@function("tan", ulp32=3.25, ulp64=3.75)
def tan(x: Real) -> Real:
    """sin(r) / cos(r), or -cos(r) / sin(r) for odd n, with x = n pi / 2 + r; for the reduction see `reduce_pi`."""
    r, n = reduce_pi(abs(x), HALF)
    square = r * r
    sine = _sine(r)
    cosine = fma(fma(polynomial(square, COS), square, -0.5), square, 1.0)
    odd = (n & 1).compare("ne", 0)
    quotient = where(odd, cosine, sine) / where(odd, sine, cosine)
    return flip_sign(quotient, sign_of(x) ^ _parity_sign(n))


def _sine(r: Real) -> Real:
    square = r * r
    return fma(polynomial(square, SIN) * square, r, r)


def _parity_sign(n: Bits) -> Bits:
    """The lowest bit, where a number has its sign."""
    return n << (n.value.type.bits - 1)


def reduce_pi(x: Real, period: Fraction, half: bool = False) -> tuple[Real, Bits]:
    """x = n P + r, or (n + 1/2) P + r if `half`, with P = `period` * pi and |r| <= P / 2, for x >= 0: r, and bits whose lowest is n's.

    Subtraction of P in parts (Cody & Waite 1980, chapter 8) up to `NEAR`, for float through double where the processor has no
    fused multiply-add. A lane beyond it sends the vector through Payne & Hanek's reduction as well, under a branch.
    """
    r, n = _reduce_near(x, period, half)
    far = rarely(x > NEAR[x.type.scalar], [r.value, n.value], lambda: _reduce_far(x, n.value.type, period, half))
    return Real(x.f, far[0]), Bits(x.f, far[1])


def _reduce_near(x: Real, period: Fraction, half: bool) -> tuple[Real, Bits]:
    if x.has_fma:
        width = x.format.fraction + 1
        return _subtract(x, period, half, (width, width, width))
    if not x.single:
        return _subtract(x, period, half, (33, 33, 53))
    r, n = _subtract(x.convert(F64.with_lanes(x.type.lanes)), period, half, (33, 53))
    return r.convert(x.type), Bits(x.f, x.f.convert("trunc", n.value, Type("i32", x.type.lanes)))


def _subtract(x: Real, period: Fraction, half: bool, widths: tuple[int, ...]) -> tuple[Real, Bits]:
    inverse = 1.0 / (float(period) * math.pi)
    shifted = fma(x, inverse, -0.5) + x.format.magic if half else fma(x, inverse, x.format.magic)
    n = shifted - x.format.magic
    multiple = n + 0.5 if half else n
    r = x
    for part in pi_parts(period, widths):
        r = fma(multiple, -part, r)
    return r, shifted.bits()


@functools.cache
def pi_parts(period: Fraction, widths: tuple[int, ...]) -> list[float]:
    """period * pi as a sum of positive numbers of so many bits each."""
    rest, parts = period * Fraction(pi_scaled(400), 1 << 400), []
    for width in widths:
        unit = Fraction(2) ** (math.frexp(float(rest))[1] - width)
        parts.append(float(rest // unit * unit))
        rest %= unit
    return parts


def _reduce_far(x: Real, integer: Type, period: Fraction, half: bool) -> list[Value]:
    """`reduce_pi` by the quarter turns q and the rest of `reduce_huge`; NaN for infinity."""
    f = x.f
    wide = x.convert(F64.with_lanes(x.type.lanes))
    rest, count = call_lanewise(f, "reduce_huge", [wide.value, I64.with_lanes(x.type.lanes).const(0)], reduce_huge)
    r, quarters = Real(f, rest) + (wide - wide), Bits(f, count)
    if period == WHOLE:
        r, quarters = _pair_quarters(r, quarters + 1 if half else quarters)
        quarters = quarters - 1 if half else quarters
    n = quarters.value if integer.bits == 64 else f.convert("trunc", quarters.value, integer)
    return [r.convert(x.type).value, n]


def _pair_quarters(r: Real, quarters: Bits) -> tuple[Real, Bits]:
    """q pi / 2 + r as n pi + r' with |r'| <= pi / 2."""
    odd = (quarters & 1).compare("ne", 0)
    beyond = odd & (r > 0.0)
    carry = Bits(r.f, r.f.convert("zext", beyond.value, quarters.value.type))
    return where(odd, r - copy_sign(r.const(math.pi / 2), r), r), (quarters + carry) >> 1
