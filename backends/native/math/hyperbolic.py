"""Hyperbolic functions and their inverses."""

from __future__ import annotations

import math

from .coefficients import SINH, TANH
from .exponential import EXP_RANGE, normal_exp, scaled_exp
from .expression import Mask, Real, copy_sign, fma, least, polynomial, where
from .logarithm import log1p_positive
from .registry import function
from .rounding import sqrt

# Where tanh is 1, and where sqrt(x * x + 1) is x.
TANH_ONE = {"float": 10.0, "double": 20.0}
LARGE = {"float": 2.0**12, "double": 2.0**28}


@function("tanh", ulp32=1.5, ulp64=1.5)
def tanh(x: Real) -> Real:
    """A minimax polynomial below 0.55, where tanh is 1/2, and 1 - 2 / (e**(2|x|) + 1) with the sign of x above."""
    size = abs(x)
    square = x * x
    near = fma(polynomial(square, TANH) * square, size, size)
    far = 1.0 - 2.0 / (normal_exp(least(size, TANH_ONE[x.type.scalar]) * 2.0) + 1.0)
    return copy_sign(where(size < 0.55, near, far), x)


@function("sinh", ulp32=1.75, ulp64=1.75)
def sinh(x: Real) -> Real:
    """(e**|x| - e**-|x|) / 2 with the sign of x, and a minimax polynomial below 1."""
    size = abs(x)
    half = _half_exp(size)
    square = x * x
    near = fma(polynomial(square, SINH) * square, x, x)
    return where(size < 1.0, near, copy_sign(half - 0.25 / half, x))


@function("cosh", ulp32=1.6, ulp64=1.6)
def cosh(x: Real) -> Real:
    """(e**|x| + e**-|x|) / 2."""
    half = _half_exp(abs(x))
    return half + 0.25 / half


def _half_exp(x: Real) -> Real:
    """e**x / 2 for x >= 0, which overflows only where sinh and cosh do."""
    return scaled_exp(least(x, EXP_RANGE[x.type.scalar][1] + 1.0), power=-1)


@function("asinh", ulp32=1.8, ulp64=1.8)
def asinh(x: Real) -> Real:
    """log1p(|x| + x**2 / (1 + sqrt(x**2 + 1))) with the sign of x; log(2|x|) for large x."""
    size = abs(x)
    large = size > LARGE[x.type.scalar]
    square = size * size
    near = size + square / (1.0 + sqrt(square + 1.0))
    return copy_sign(_log1p_doubled(where(large, size - 1.0, near), large), x)


@function("acosh", ulp32=2.25, ulp64=2.6)
def acosh(x: Real) -> Real:
    """log1p(t + sqrt(t (t + 2))) for t = x - 1; log(2x) for large x."""
    t = x - 1.0
    large = x > LARGE[x.type.scalar]
    result = _log1p_doubled(where(large, t, t + sqrt(t * (t + 2.0))), large)
    return where(x < 1.0, float("nan"), result)


def _log1p_doubled(x: Real, doubled: Mask) -> Real:
    """log1p(x), plus ln 2 where `doubled`."""
    return log1p_positive(x) + where(doubled, x.const(math.log(2.0)), 0.0)


@function("atanh", ulp32=2.1, ulp64=1.9)
def atanh(x: Real) -> Real:
    """log1p(2|x| / (1 - |x|)) / 2 with the sign of x."""
    size = abs(x)
    half = log1p_positive(size * 2.0 / (1.0 - size)) * 0.5
    return where(size < 2.0**-x.format.fraction / 16, x, copy_sign(where(size > 1.0, float("nan"), half), x))
