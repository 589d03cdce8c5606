"""Arc functions."""

from __future__ import annotations

import math

from .coefficients import ASIN, ATAN
from .expression import Mask, Real, copy_sign, fma, polynomial, where
from .registry import function
from .rounding import sqrt

# pi/2 and pi as the nearest number and the rest.
HALF_PI = {"float": (1.57079637050628662109375, -4.37113900018624283e-8), "double": (math.pi / 2, 6.123233995736766e-17)}


@function("asin", ulp32=2.4, ulp64=2.25)
def asin(x: Real) -> Real:
    """x + x**3 P(x**2) up to 1/2, and pi/2 - 2 asin(sqrt((1 - |x|) / 2)) above (Cody & Waite 1980, chapter 10)."""
    size = abs(x)
    large, value = _asin_reduced(size)
    high, low = HALF_PI[x.type.scalar]
    return copy_sign(where(large, high - (value * 2.0 - low), value), x)


@function("acos", ulp32=1.2, ulp64=1.2)
def acos(x: Real) -> Real:
    """pi/2 - asin(x) up to 1/2; 2 asin(sqrt((1 - |x|) / 2)) above, taken from pi for negative x (Cody & Waite 1980, chapter 10)."""
    large, value = _asin_reduced(abs(x))
    high, low = HALF_PI[x.type.scalar]
    signed = copy_sign(value, x)
    far = where(x < 0.0, 2.0 * high - (value * 2.0 - 2.0 * low), value * 2.0)
    return where(large, far, high - (signed - low))


def _asin_reduced(size: Real) -> tuple[Mask, Real]:
    """Whether `size` is above 1/2, and asin(size) or asin(sqrt((1 - size) / 2))."""
    large = size > 0.5
    square = where(large, 0.5 - size * 0.5, size * size)
    base = where(large, sqrt(square), size)
    return large, fma(polynomial(square, ASIN) * square, base, base)


@function("atan", ulp32=2.25, ulp64=2.75)
def atan(x: Real) -> Real:
    """A minimax polynomial on [0, 1], and pi/2 - atan(1 / |x|) above, with the sign of x."""
    size = abs(x)
    large = size > 1.0
    t = where(large, 1.0, size) / where(large, size, 1.0)
    return copy_sign(_swapped(_arctangent(t), large), x)


@function("atan2", ulp32=2.25, ulp64=3.1)
def atan2(y: Real, x: Real) -> Real:
    """The angle of (x, y): the arctangent of the smaller over the larger side, moved to its octant; signed zeros and infinities as in C."""
    width, height = abs(x), abs(y)
    steep = height > width
    smaller, larger = where(steep, width, height), where(steep, height, width)
    equal = where(larger.equals(0.0), larger, 1.0)
    t = where(smaller.equals(larger), equal, smaller / larger)
    angle = _swapped(_arctangent(t), steep)
    high, low = HALF_PI[x.type.scalar]
    left = x.bits().compare("slt", 0)
    turned = where(left, 2.0 * high - (angle - 2.0 * low), angle)
    return where(x.compare("uno", y), x + y, copy_sign(turned, y))


def _arctangent(t: Real) -> Real:
    square = t * t
    return fma(polynomial(square, ATAN) * square, t, t)


def _swapped(angle: Real, swap: Mask) -> Real:
    """pi/2 - angle where `swap`."""
    high, low = HALF_PI[angle.type.scalar]
    return where(swap, high - (angle - low), angle)
