"""The logarithms."""

from __future__ import annotations

from graphdl.record import record

from .coefficients import LOG
from .exponential import LN2, exp_negative
from .expression import Bits, Real, copy_sign, fma, greatest, polynomial, where
from .registry import function

SQRT_HALF = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCD}
# log2(e), log10(e) and log10(2) as a head of few bits and the rest (fdlibm e_log2.c, e_log10.c).
LOG2_E = {"float": (1.4428710938, -1.7605285393e-04), "double": (1.44269504072144627571, 1.67517131648865118353e-10)}
LOG10_E = {"float": (4.3432617188e-01, -3.1689971365e-05), "double": (4.34294481878168880939e-01, 2.50829467116452752298e-11)}
LOG10_2 = {"float": (3.0102920532e-01, 7.9034151668e-07), "double": (3.01029995663611771306e-01, 3.69423907715893078616e-13)}


@record(slots=True)
class Reduced:
    """A positive number as 2**n * (1 + r) with 1 + r in [sqrt(1/2), sqrt(2))."""

    n: Real
    r: Real
    exponent: Bits  # n + bias where a number has its exponent


@function("log", ulp32=0.9, ulp64=0.9)
def log(x: Real) -> Real:
    """ln x: the exponent times ln 2 in two parts plus log1p of the reduced fraction (fdlibm e_log.c; Tang, ACM TOMS 16, 1990)."""
    reduced = reduce_log(x)
    return _special(x, _natural(reduced.n, reduced.r))


@function("log2", ulp32=1.0, ulp64=1.0)
def log2(x: Real) -> Real:
    """The base-2 logarithm: the exponent plus log1p(r) log2(e) in two parts; exact for powers of two."""
    reduced = reduce_log(x)
    high, low = _scaled_log1p(reduced.r, LOG2_E)
    return _special(x, _sum(reduced.n, high, low))


@function("log10", ulp32=0.85, ulp64=0.85)
def log10(x: Real) -> Real:
    """The base-10 logarithm: n log10(2) plus log1p(r) log10(e), each in two parts."""
    reduced = reduce_log(x)
    head, rest = LOG10_2[x.type.scalar]
    high, low = _scaled_log1p(reduced.r, LOG10_E)
    return _special(x, _sum(reduced.n * head, high, fma(reduced.n, rest, low)))


@function("log1p", ulp32=1.5, ulp64=1.4)
def log1p(x: Real) -> Real:
    """ln(1 + x): the rounding error of 1 + x is added to the reduced fraction (Tang, ACM TOMS 16, 1990, section 3)."""
    at_most = where(x.equals(-1.0), x.const(float("-inf")), float("nan"))
    return copy_sign(where(x.compare("ugt", -1.0), log1p_positive(x), at_most), x)


@function("softplus", ulp32=1.8, ulp64=1.8)
def softplus(x: Real) -> Real:
    """ln(1 + e**x) = max(x, 0) + log1p(e**-|x|)."""
    return greatest(x, 0.0) + _log1p_finite(exp_negative(-abs(x)))


def log1p_positive(x: Real) -> Real:
    """ln(1 + x) for x > -1 and NaN."""
    return where(x < float("inf"), _log1p_finite(x), x)


def _log1p_finite(x: Real) -> Real:
    total = 1.0 + x
    missing = x - (total - 1.0)
    reduced = reduce_normal(total)
    inverse = (2 * x.format.one - reduced.exponent).real()
    return _natural(reduced.n, fma(missing, where(x < 2.0**60, inverse, 0.0), reduced.r))


def reduce_log(x: Real) -> Reduced:
    """The reduction of x > 0, denormal numbers among them."""
    lift = x.format.fraction + 1
    tiny = x < x.format.smallest_normal
    reduced = reduce_normal(where(tiny, x * 2.0**lift, x))
    return Reduced(reduced.n - where(tiny, x.const(lift), 0.0), reduced.r, reduced.exponent)


def reduce_normal(x: Real) -> Reduced:
    """The reduction of x > 0 that is not denormal."""
    layout, root = x.format, SQRT_HALF[x.type.scalar]
    raised = x.bits() + (layout.one - root)
    unit = 2.0**layout.fraction
    n = ((raised >> layout.fraction) | x.const(unit).bits()).real() - (unit + layout.bias)
    fraction = (raised & ((1 << layout.fraction) - 1)) + root
    return Reduced(n, fraction.real() - 1.0, raised & ~((1 << layout.fraction) - 1))


def _natural(n: Real, r: Real) -> Real:
    high, low = LN2[r.type.scalar]
    return fma(n, high, r - fma(n, -low, _log1p_gap(r)))


def _log1p_gap(r: Real) -> Real:
    """r - ln(1 + r) on the reduced range: r**2 / 2 - r**3 P(r) for float; for double, with s = r / (2 + r), fdlibm's
    r**2 / 2 - s (r**2 / 2 + s**2 P(s**2)), whose division costs less than a longer polynomial."""
    square = r * r
    if r.single:
        return square * fma(polynomial(r, LOG), -r, 0.5)
    s = r / (2.0 + r)
    z = s * s
    half = square * 0.5
    return half - s * fma(polynomial(z, LOG), z, half)


def _scaled_log1p(r: Real, factor: dict[str, tuple[float, float]]) -> tuple[Real, Real]:
    """ln(1 + r) * factor as the sum of an exact product and a rest (fdlibm e_log2.c)."""
    head, rest = factor[r.type.scalar]
    gap = _log1p_gap(r)
    high = ((r - gap).bits() & ~((1 << (12 if r.single else 32)) - 1)).real()
    low = (r - high) - gap
    return high * head, fma(low + high, rest, low * head)


def _sum(large: Real, high: Real, low: Real) -> Real:
    """large + high + low, where |large| >= |high| or large is 0 (Dekker's Fast2Sum, 1971)."""
    total = large + high
    return total + ((large - total) + high + low)


def _special(x: Real, result: Real) -> Real:
    """A logarithm's `result` with its special values: log(0) = -inf, log(inf) = inf, NaN below 0."""
    at_most = where(x.equals(0.0), x.const(float("-inf")), float("nan"))
    return where(x.compare("ugt", 0.0), where(x < float("inf"), result, x), at_most)
