"""Sets of values that a scalar can take, as far as the linter needs to know them."""

from __future__ import annotations

import math
from dataclasses import replace

from ..record import record

INF = math.inf


@record
class Range:
    """Values in [lower, upper].

    `zero` tells whether 0 may be among them, `tiny` whether a positive value may round to 0, `huge` whether one may overflow to
    infinity, as exp does. Along every group that a reduction joins, some element is at least `top`. `masked` values are 0 where a
    condition does not hold. `steep` ones grow as squares do, or faster.
    """

    lower: float = -INF
    upper: float = INF
    zero: bool = True
    tiny: bool = False
    huge: bool = False
    top: float = -INF
    masked: bool = False
    steep: bool = False

    @property
    def may_be_zero(self) -> bool:
        return self.zero and self.lower <= 0 <= self.upper

    @property
    def number(self) -> float | None:
        """The one value there is."""
        return self.lower if self.lower == self.upper else None


ANY = Range()
BOOLEAN = Range(0.0, 1.0)


def made(lower: float, upper: float, zero: bool = True, *, tiny: bool = False, huge: bool = False, top: float = -INF, steep: bool = False) -> Range:
    """A range; what is no number becomes unbounded."""
    low = -INF if math.isnan(lower) else lower
    high = INF if math.isnan(upper) else upper
    return Range(low, high, zero and low <= 0 <= high, tiny, huge, max(top, low), steep=steep)


def exactly(value: float) -> Range:
    """One value."""
    return made(float(value), float(value))


def union(x: Range, y: Range) -> Range:
    """What either holds."""
    zero = x.may_be_zero or y.may_be_zero
    return replace(
        made(min(x.lower, y.lower), max(x.upper, y.upper), zero, tiny=x.tiny or y.tiny, huge=x.huge or y.huge, steep=x.steep or y.steep),
        masked=x.masked or y.masked,
    )


def widened(x: Range, y: Range) -> Range:
    """`y`, which holds `x`, without the bounds that it has moved."""
    return replace(y, lower=y.lower if y.lower == x.lower else -INF, upper=y.upper if y.upper == x.upper else INF)


def intersect(x: Range, lower: float, upper: float, zero: bool = True) -> Range:
    """The part of `x` within bounds."""
    low, high = max(x.lower, lower), min(x.upper, upper)
    return replace(x, lower=low, upper=max(low, high), zero=x.zero and zero and low <= 0 <= high, tiny=x.tiny and zero, huge=x.huge and upper == INF)


def negate(x: Range) -> Range:
    """-x."""
    return replace(x, lower=-x.upper, upper=-x.lower, top=-INF)


def add(x: Range, y: Range) -> Range:
    """x + y."""
    same_sign = (x.lower >= 0 and y.lower >= 0) or (x.upper <= 0 and y.upper <= 0)
    zero = x.may_be_zero and y.may_be_zero if same_sign else True
    tiny = same_sign and not zero and (x.tiny or x.may_be_zero) and (y.tiny or y.may_be_zero)
    return made(x.lower + y.lower, x.upper + y.upper, zero, tiny=tiny, huge=x.huge or y.huge, top=x.top + y.lower, steep=x.steep or y.steep)


def multiply(x: Range, y: Range) -> Range:
    """x * y of different operands."""
    corners = [_times(a, b) for a in (x.lower, x.upper) for b in (y.lower, y.upper)]
    zero = x.may_be_zero or y.may_be_zero
    joined = made(min(corners), max(corners), zero, tiny=x.tiny or y.tiny, huge=x.huge or y.huge, steep=x.steep or y.steep)
    return replace(joined, masked=x.masked or y.masked)


def square(x: Range) -> Range:
    """x * x."""
    low = 0.0 if x.lower <= 0 <= x.upper else min(x.lower**2, x.upper**2)
    return made(low, max(_times(x.lower, x.lower), _times(x.upper, x.upper)), x.may_be_zero, tiny=x.tiny, huge=x.huge, steep=True)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def reciprocal(x: Range) -> Range:
    """1 / x; all numbers if x may be 0. What overflows has a reciprocal that is 0."""
    if x.may_be_zero or x.lower < 0 < x.upper:
        return ANY if x.lower < 0 else made(0.0 if x.upper == INF else 1 / x.upper, INF, False, tiny=x.huge)
    low, high = (INF if x.upper == 0 else 1 / x.upper), (INF if x.lower == 0 else 1 / x.lower)
    if x.upper == 0:
        low, high = -INF, 1 / x.lower
    return made(min(low, high), max(low, high), False, tiny=x.huge)


def total(x: Range) -> Range:
    """A sum of one or more values."""
    if x.lower >= 0:
        least = max(x.lower, x.top, 0.0)
        return made(least, 0.0 if x.upper == 0 else INF, x.may_be_zero and least == 0, tiny=x.tiny and least == 0, huge=x.huge, steep=x.steep)
    return made(-INF, 0.0 if x.upper <= 0 else INF, x.may_be_zero if x.upper <= 0 else True, huge=x.huge, steep=x.steep)
