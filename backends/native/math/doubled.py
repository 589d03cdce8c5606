"""Error-free sums and products (Muller et al., *Handbook of Floating-Point Arithmetic*, 2nd ed., chapter 4)."""

from __future__ import annotations

from .expression import Real, fma


def product(x: Real, y: Real) -> tuple[Real, Real]:
    """x * y as its rounded value and the exact rest: by fused multiply-add, else by Dekker's splitting (1971)."""
    high = x * y
    if x.has_fma:
        return high, Real(x.f, x.f.intrinsic("fma", x.type, x.value, y.value, (-high).value))
    x_head, x_tail = split(x)
    y_head, y_tail = split(y)
    return high, x_tail * y_tail - (((high - x_head * y_head) - x_tail * y_head) - x_head * y_tail)


def split(x: Real) -> tuple[Real, Real]:
    """x as two numbers of half its bits (Veltkamp 1968), for |x| well below overflow."""
    shifted = x * (2.0 ** ((x.format.fraction + 2) // 2) + 1.0)
    head = shifted - (shifted - x)
    return head, x - head


def ordered_sum(x: Real, y: Real) -> tuple[Real, Real]:
    """x + y and its rounding error, for |x| >= |y| (Dekker's Fast2Sum)."""
    total = x + y
    return total, y - (total - x)


def doubled_product(x: tuple[Real, Real], y: tuple[Real, Real]) -> tuple[Real, Real]:
    """The product of two unevaluated sums, to about twice the precision."""
    high, low = product(x[0], y[0])
    return high, fma(x[0], y[1], fma(x[1], y[0], low))
