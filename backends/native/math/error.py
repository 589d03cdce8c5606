"""The error functions."""

from __future__ import annotations

from .coefficients import ERF, ERFCX, LOG_ERFC
from .doubled import product
from .exponential import exp_negative
from .expression import Real, copy_sign, fma, least, polynomial, where
from .registry import function

ERF_ONE = {"float": 3.95, "double": 5.95}
ERFC_ZERO = {"float": 10.2, "double": 27.5}


@function("erf", ulp32=1.5, ulp64=1.5)
def erf(x: Real) -> Real:
    """x + x P(x**2) below 1, then 1 - e**-Q(|x|), where Q is -ln erfc: both minimax polynomials."""
    size = abs(x)
    square = x * x
    near = fma(polynomial(square, ERF), x, x)
    far = 1.0 - exp_negative(-polynomial(least(size, ERF_ONE[x.type.scalar]), LOG_ERFC))
    return where(size < 1.0, near, copy_sign(far, x))


@function("erfc", ulp32=3.0, ulp64=3.0)
def erfc(x: Real) -> Real:
    """e**(-x**2) P(t) / (1 + 2|x|) with t = (|x| - 2) / (|x| + 2), reflected to 2 - erfc(|x|) for negative x (Shepherd & Laframboise,
    Math. Comp. 36, 1981); x**2 is carried in two parts, since its rounding error would be multiplied by x**2."""
    size = least(abs(x), ERFC_ZERO[x.type.scalar])
    high, low = product(size, size)
    t = (size - 2.0) / (size + 2.0)
    decayed = exp_negative(-high, -low) * (polynomial(t, ERFCX) / fma(size, 2.0, 1.0))
    return where(x < 0.0, 2.0 - decayed, decayed)
