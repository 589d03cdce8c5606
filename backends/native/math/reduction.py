"""Argument reduction by multiples of pi."""

from __future__ import annotations

import functools
from fractions import Fraction

from ..llvm import F64, I64, Function, Type, Value
from .exponential import nearest_integer
from .expression import Bits, Real, fma, where
from .rare import lanewise

I128 = Type("i128")
PI_BITS = 1300
# Up to here the three-part reduction keeps its bound; beyond it, every bit of 2/pi that matters is used.
LIMIT = {"float": 2.0**17, "double": 2.0**20}


@functools.cache
def pi_scaled(bits: int) -> int:
    """floor(pi * 2**bits), or one less: Machin's formula in integers."""
    guard = bits + 16
    return (16 * _inverse_tangent(5, guard) - 4 * _inverse_tangent(239, guard)) >> 16


def _inverse_tangent(denominator: int, bits: int) -> int:
    power = (1 << bits) // denominator
    total, k = 0, 1
    while power:
        total += power // k if k % 4 == 1 else -(power // k)
        power //= denominator * denominator
        k += 2
    return total


def pi_parts(period: Fraction, widths: tuple[int, ...]) -> list[float]:
    """period * pi as a sum of numbers of so many bits each, every one truncated so that all are positive."""
    rest = period * Fraction(pi_scaled(400), 1 << 400)
    parts: list[float] = []
    for width in widths:
        exponent = rest.numerator.bit_length() - rest.denominator.bit_length()
        unit = Fraction(2) ** (exponent - width)
        parts.append(float(rest // unit * unit))
        rest -= rest // unit * unit
    return parts


def reduce_pi(x: Real, period: Fraction, half: bool = False) -> tuple[Real, Bits]:
    """x = (n + 1/2 if `half` else n) * period * pi + r for x >= 0: r, at most half a period, and an integer that has n's low bits.

    Cody & Waite's subtraction in three parts (1980, chapter 8) up to `LIMIT`, where a processor without fused multiply-add takes
    floats through double; Payne & Hanek's reduction (SIGNUM 18, 1983) beyond.
    """
    near, n = _reduce_near(x, period, half)
    wide = Type("i64", x.type.lanes)
    integers = n.value if x.type.bits == 64 else x.f.convert("zext", n.value, wide)
    asked = x > LIMIT[x.type.scalar]
    double = F64.with_lanes(x.type.lanes)

    return near, n


def _reduce_near(x: Real, period: Fraction, half: bool) -> tuple[Real, Bits]:
    if x.single and not x.has_fma:
        r, n = _subtract(x.convert(F64.with_lanes(x.type.lanes)), period, half, (33, 53))
        narrow = x.f.convert("trunc", n.value, Type("i32", x.type.lanes))
        return r.convert(x.type), Bits(x.f, narrow)
    width = x.format.fraction + 1
    return _subtract(x, period, half, (width, width, width) if x.has_fma else (33, 33, 53))


def _subtract(x: Real, period: Fraction, half: bool, widths: tuple[int, ...]) -> tuple[Real, Bits]:
    inverse = float(1 / (period * Fraction(pi_scaled(100), 1 << 100)))
    anchor = x.format.magic
    shifted = fma(x, inverse, anchor - 0.5 if half else anchor)
    n = shifted - anchor
    multiple = n + 0.5 if half else n
    r = x
    for part in pi_parts(period, widths):
        r = fma(multiple, -part, r)
    return r, shifted.bits()
