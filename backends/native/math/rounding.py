"""Rounding to integers, and the square root."""

from __future__ import annotations

from .expression import Real, copy_sign, where
from .registry import function


@function("floor", ulp32=0.0, ulp64=0.0)
def floor(x: Real) -> Real:
    """The largest integer not above x, exact."""
    if x.has_fma:
        return x.unary("floor")
    nearest = _nearest(x)
    return copy_sign(nearest - where(nearest > x, x.const(1), 0.0), x)


@function("ceil", ulp32=0.0, ulp64=0.0)
def ceil(x: Real) -> Real:
    """The smallest integer not below x, exact."""
    if x.has_fma:
        return x.unary("ceil")
    nearest = _nearest(x)
    return copy_sign(nearest + where(nearest < x, x.const(1), 0.0), x)


@function("trunc", ulp32=0.0, ulp64=0.0)
def trunc(x: Real) -> Real:
    """The integer part of x, exact."""
    if x.has_fma:
        return x.unary("trunc")
    size = abs(x)
    nearest = _nearest(size)
    return copy_sign(nearest - where(nearest > size, x.const(1), 0.0), x)


@function("round", ulp32=0.0, ulp64=0.0)
def nearest_even(x: Real) -> Real:
    """The nearest integer, ties to even as in NumPy, exact."""
    return x.unary("roundeven") if x.has_fma else _nearest(x)


@function("sqrt", ulp32=0.5, ulp64=0.5)
def sqrt(x: Real) -> Real:
    """The square root, correctly rounded by the processor."""
    return x.unary("sqrt")


@function("rsqrt", ulp32=1.5, ulp64=1.5)
def rsqrt(x: Real) -> Real:
    """1 / sqrt(x) as a square root and a division, both correctly rounded."""
    return 1.0 / sqrt(x)


def _nearest(x: Real) -> Real:
    """Rounding by adding and taking away 2**fraction, above which every number is an integer (Muller et al., *Handbook of
    Floating-Point Arithmetic*, 2nd ed., section 10.6); for targets without a rounding instruction."""
    size, unit = abs(x), 2.0**x.format.fraction
    return copy_sign(where(size < unit, (size + unit) - unit, x), x)
