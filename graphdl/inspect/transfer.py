"""The scalar functions on ranges: what values they give, and where they leave their domain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from .ranges import ANY, BOOLEAN, INF, Range, add, made, multiply, negate, reciprocal

Transfer = Callable[..., Range]
OVERFLOW = 88.0  # exp of more is infinite in float32; of less than its negative, zero


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else INF


def _monotone(function: Callable[[float], float], lower: float = -INF, upper: float = INF) -> Transfer:
    """A function that never falls, with its limits at both infinities."""

    def transfer(x: Range) -> Range:
        low = lower if x.lower == -INF else function(x.lower)
        high = upper if x.upper == INF else function(x.upper)
        return made(low, high)

    return transfer


def exponential(x: Range) -> Range:
    """exp(x)."""
    return made(_exp(x.lower), _exp(x.upper), False, tiny=x.lower < -OVERFLOW, huge=x.upper > OVERFLOW, top=_exp(x.top))


def logarithm(x: Range) -> Range:
    """log(x), inside of its domain."""
    return made(math.log(x.lower) if x.lower > 0 else -INF, math.log(x.upper) if 0 < x.upper < INF else INF)


def root(x: Range) -> Range:
    """sqrt(x), inside of its domain."""
    low, high = max(x.lower, 0.0), max(x.upper, 0.0)
    return made(math.sqrt(low), math.sqrt(high), x.zero and x.lower <= 0, tiny=x.tiny, huge=x.huge)


def divide(x: Range, y: Range) -> Range:
    """x / y."""
    return replace(multiply(x, reciprocal(y)), zero=x.may_be_zero, tiny=x.tiny or y.huge)


def power(x: Range, y: Range) -> Range:
    """x ** y: roots, whole powers, and powers of numbers in [0, 1]."""
    n = y.number
    if n == 0.5:
        return root(x)
    if n is not None and n == int(n) and n % 2 == 0:
        low = 0.0 if x.lower <= 0 <= x.upper else min(abs(x.lower), abs(x.upper))
        return made(low**n if low or n > 0 else 0.0, INF, n > 0 and x.may_be_zero, huge=x.huge, steep=n > 0)
    if x.lower < 0:
        return ANY
    if x.upper <= 1 and y.lower >= 0:
        return made(0.0, x.upper**y.lower, x.may_be_zero, tiny=y.upper > OVERFLOW)
    return made(1.0 if x.lower >= 1 and y.lower >= 0 else 0.0, INF, x.may_be_zero, huge=n is None)


def absolute(x: Range) -> Range:
    """|x|."""
    low = 0.0 if x.lower <= 0 <= x.upper else min(abs(x.lower), abs(x.upper))
    return made(low, max(abs(x.lower), abs(x.upper)), x.may_be_zero, tiny=x.tiny, huge=x.huge)


def larger(x: Range, y: Range) -> Range:
    """max(x, y)."""
    zero = (x.may_be_zero and y.lower <= 0) or (y.may_be_zero and x.lower <= 0)
    return made(max(x.lower, y.lower), max(x.upper, y.upper), zero, tiny=x.tiny and y.lower <= 0, huge=x.huge or y.huge, top=max(x.top, y.top))


def smaller(x: Range, y: Range) -> Range:
    """min(x, y)."""
    return negate(larger(negate(x), negate(y)))


def sign(x: Range) -> Range:
    """-1, 0 or 1."""
    return made(-1.0 if x.lower < 0 else 0.0 if x.may_be_zero else 1.0, 1.0 if x.upper > 0 else 0.0, x.may_be_zero)


def softplus(x: Range) -> Range:
    """log(1 + exp(x)), computed without overflow."""
    return made(0.0 if x.lower == -INF else math.log1p(_exp(x.lower)), INF, False, tiny=x.lower < -OVERFLOW)


def sigmoid(x: Range) -> Range:
    """1 / (1 + exp(-x)), computed without overflow."""
    return made(1 / (1 + _exp(-x.lower)), 1 / (1 + _exp(-x.upper)), False, tiny=x.lower < -OVERFLOW)


def remainder(x: Range, y: Range) -> Range:
    """x mod y, of y's sign."""
    return made(0.0, y.upper) if y.lower > 0 else ANY


def natural(*operands: Range) -> Range:
    """A bitwise result of natural numbers."""
    return made(0.0, INF) if all(x.lower >= 0 for x in operands) else ANY


def shift_right(x: Range, y: Range) -> Range:
    """x >> y of natural numbers."""
    return made(0.0, x.upper / 2**y.lower) if x.lower >= 0 and 0 <= y.lower < 64 else ANY


def bit_and(x: Range, y: Range) -> Range:
    """x & y: of natural numbers no more than the smaller."""
    return made(0.0, min(x.upper, y.upper)) if x.lower >= 0 and y.lower >= 0 else natural(x, y)


TRANSFER: dict[str, Transfer] = {
    "add": add, "subtract": lambda x, y: add(x, negate(y)), "multiply": multiply, "divide": divide, "negative": negate, "power": power,
    "abs": absolute, "sign": sign, "maximum": larger, "minimum": smaller, "share": lambda x, y: BOOLEAN, "remainder": remainder,
    "exp": exponential, "exp2": exponential, "log": logarithm, "log2": logarithm, "log10": logarithm, "sqrt": root, "rsqrt": lambda x: reciprocal(root(x)),
    "expm1": lambda x: replace(add(exponential(x), made(-1.0, -1.0)), zero=True), "log1p": lambda x: logarithm(add(x, made(1.0, 1.0))),
    "sin": lambda x: made(-1.0, 1.0), "cos": lambda x: made(-1.0, 1.0), "tanh": _monotone(math.tanh, -1.0, 1.0), "erf": _monotone(math.erf, -1.0, 1.0),
    "erfc": lambda x: made(0.0, 2.0, tiny=True), "atan": _monotone(math.atan, -math.pi / 2, math.pi / 2), "cosh": lambda x: made(1.0, INF, huge=True),
    "sinh": lambda x: made(-INF, INF, huge=True), "asin": lambda x: made(-math.pi / 2, math.pi / 2), "acos": lambda x: made(0.0, math.pi),
    "sigmoid": sigmoid, "softplus": softplus, "floor": _monotone(math.floor), "ceil": _monotone(math.ceil), "round": _monotone(round),
    "bit_and": bit_and, "bit_or": natural, "bit_xor": natural, "shift_left": natural, "shift_right": shift_right, "multiply_high": natural,
    "asinh": _monotone(math.asinh), "acosh": lambda x: made(0.0, INF),
}  # fmt: skip
COMPARISONS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isfinite"}


def _negative(x: Range) -> bool:
    return x.lower < 0


def _leaves_power(x: Range, y: Range) -> str | None:
    n = y.number
    if x.may_be_zero and y.lower < 0:
        return "is infinite where the base is 0"
    whole = n is not None and (n == int(n) or abs(n) == INF)
    return "is NaN where the base is negative" if _negative(x) and not whole else None


def _leaves_log(x: Range) -> str | None:
    if _negative(x):
        return "is NaN where its operand is negative"
    if x.may_be_zero:
        return "is -inf, and its derivative infinite, where its operand is 0"
    if x.tiny:
        return "is -inf where its operand rounds to 0"
    return "is infinite where its operand overflows" if x.huge else None


def _leaves_division(x: Range, y: Range) -> str | None:
    if y.may_be_zero:
        return "divides by 0"
    return "is NaN where both operands overflow" if x.huge and y.huge else None


def _outside(lower: float, upper: float) -> Callable[[Range], str | None]:
    return lambda x: "is NaN where its operand is outside of its domain" if x.lower < lower or x.upper > upper else None


def _overflows(x: Range) -> str | None:
    if x.upper < INF or not (x.huge or x.steep):
        return None
    return f"is infinite where its operand, which grows as {'an exponential' if x.huge else 'a square'} does, is above {OVERFLOW:g}"


# Where a function leaves its domain, or None.
DOMAINS: dict[str, Callable[..., str | None]] = {
    "exp": _overflows, "exp2": _overflows, "expm1": _overflows, "sinh": _overflows, "cosh": _overflows,
    "divide": _leaves_division, "log": _leaves_log, "log2": _leaves_log, "log10": _leaves_log, "power": _leaves_power,
    "sqrt": lambda x: "is NaN where its operand is negative" if _negative(x) else None,
    "rsqrt": lambda x: "is NaN or infinite where its operand is not positive" if _negative(x) or x.may_be_zero else None,
    "log1p": lambda x: "is NaN or -inf where its operand is not above -1" if x.lower <= -1 else None,
    "asin": _outside(-1, 1), "acos": _outside(-1, 1), "acosh": _outside(1, INF), "atanh": _outside(-1, 1),
}  # fmt: skip
_BOUND = "bound the operand, with gd.minimum or a tanh, or stay with its logarithm: gd.logsumexp, gd.log_softmax"
REMEDIES: dict[str, str] = {
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh"), _BOUND),
    "divide": "keep the divisor away from 0: add a small positive number, or take gd.where of a safe divisor",
    "log": "add a small positive number, or use the stable form: gd.log_softmax, gd.logsumexp, nn.functional.cross_entropy or ..._with_logits",
    "power": "keep the base positive: (x + eps) ** y, or x * x for a square",
    "sqrt": "add a small positive number under the root: gd.sqrt(x + eps)",
    "rsqrt": "add a small positive number under the root: gd.rsqrt(x + eps)",
    "log1p": "keep the operand above -1, with gd.maximum",
    "asin": "clip the operand inside of (-1, 1)",
    "acos": "clip the operand inside of (-1, 1)",
    "atanh": "clip the operand inside of (-1, 1)",
    "acosh": "clip the operand above 1",
}
