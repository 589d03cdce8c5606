"""The error functions."""

from __future__ import annotations

from .coefficients import ERF, ERFCX, LOG_ERFC
from .doubled import product
from .exponential import exp_negative, normal_exp
from .expression import Real, copy_sign, fma, least, polynomial, where
from .registry import function

ERF_ONE = {"float": 3.95, "double": 5.95}
ERFC_ZERO = {"float": 10.2, "double": 27.5}


@function("erf", ulp32=1.4, ulp64=1.25)
def erf(x: Real) -> Real:
    """x + x P(x**2) below 1, then 1 - e**-Q(|x|), where Q is -ln erfc: both minimax polynomials."""
    size = abs(x)
    square = x * x
    near = fma(polynomial(square, ERF), x, x)
    far = 1.0 - normal_exp(-polynomial(least(size, ERF_ONE[x.type.scalar]), LOG_ERFC))
    return where(size < 1.0, near, copy_sign(far, x))


@function("erfc", ulp32=4.0, ulp64=3.5)
def erfc(x: Real) -> Real:
    """e**(-x**2) P(t) / (1 + 2|x|) with t = (|x| - 2) / (|x| + 2), reflected to 2 - erfc(|x|) for negative x (Shepherd & Laframboise,
    Math. Comp. 36, 1981); x**2 is carried in two parts, since its rounding error is an error of the result. 1 - erf(x) below 1/2."""
    size = least(abs(x), ERFC_ZERO[x.type.scalar])
    high, low = product(size, size)
    t = (size - 2.0) / (size + 2.0)
    decayed = exp_negative(-high, -low) * (polynomial(t, ERFCX) / fma(size, 2.0, 1.0))
    far = where(x < 0.0, 2.0 - decayed, decayed)
    return where(size < 0.5, 1.0 - fma(polynomial(x * x, ERF), x, x), far)
