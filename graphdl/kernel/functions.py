"""The closed table of scalar functions: what the kernel language can compute on one element.

Each row states the function's meaning for sympy and its partial derivatives as expressions in the same language, so that
formulas, derivatives and code come from one place; a test proves every row's derivatives with sympy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..record import record

if TYPE_CHECKING:
    from .expression import Expr

Partial = Callable[..., "Expr"]


@record(slots=True)
class ScalarFunction:
    """A scalar function. `sympy` takes the sympy module and the arguments; `partials` take the arguments and give an Expr."""

    name: str
    arity: int
    sympy: Callable[..., Any]
    partials: tuple[Partial, ...] | None = None
    result: str = "same"  # or "bool"
    flops: int = 1


TABLE: dict[str, ScalarFunction] = {}


def _row(name: str, sympy: Callable[..., Any], *partials: Partial, arity: int | None = None, result: str = "same", flops: int = 1) -> None:
    TABLE[name] = ScalarFunction(name, arity or len(partials) or 1, sympy, partials or None, result, flops)


def _f(name: str, *arguments: Any) -> Expr:
    from .expression import apply

    return apply(name, *arguments)


def _zero(*arguments: Any) -> Expr:
    zero: Expr = arguments[0] * 0
    return zero


_row("add", lambda s, x, y: x + y, lambda x, y: x.one(), lambda x, y: x.one())
_row("subtract", lambda s, x, y: x - y, lambda x, y: x.one(), lambda x, y: -x.one())
_row("multiply", lambda s, x, y: x * y, lambda x, y: y, lambda x, y: x)
_row("divide", lambda s, x, y: x / y, lambda x, y: x.one() / y, lambda x, y: -(x / y) / y, flops=4)
_row("floor_divide", lambda s, x, y: s.floor(x / y), _zero, _zero, flops=5)
_row("remainder", lambda s, x, y: s.Mod(x, y), lambda x, y: x.one(), lambda x, y: -_f("floor_divide", x, y), flops=6)
_row(
    "power",
    lambda s, x, y: s.Pow(x, y),
    lambda x, y: y * _f("power", x, y - y.one()),
    # The limit at x = 0 is 0 for y > 0; log(0) must not make it NaN.
    lambda x, y: _f("select", _f("equal", x, x.zero()), x.zero(), _f("power", x, y) * _f("log", _f("select", _f("equal", x, x.zero()), x.one(), x))),
    flops=40,
)
_row("negative", lambda s, x: -x, lambda x: -x.one())
_row("abs", lambda s, x: s.Abs(x), lambda x: _f("sign", x))
_row("sign", lambda s, x: s.sign(x), _zero)
_row("maximum", lambda s, x, y: s.Max(x, y), lambda x, y: _f("share", x, y), lambda x, y: _f("share", y, x))
_row("minimum", lambda s, x, y: s.Min(x, y), lambda x, y: _f("share", y, x), lambda x, y: _f("share", x, y))
# share(x, y) is 1 where x > y, 0 where x < y and 1/2 where they are equal: the derivative of max by x.
_row("share", lambda s, x, y: s.Heaviside(x - y, s.Rational(1, 2)), _zero, _zero, flops=2)
_row("floor", lambda s, x: s.floor(x), _zero)
_row("ceil", lambda s, x: s.ceiling(x), _zero)
_row("round", lambda s, x: s.Function("round")(x), _zero)
_row("trunc", lambda s, x: s.Function("trunc")(x), _zero)
_row("exp", lambda s, x: s.exp(x), lambda x: _f("exp", x), flops=14)
_row("exp2", lambda s, x: 2**x, lambda x: _f("exp2", x) * 0.6931471805599453, flops=12)
_row("log", lambda s, x: s.log(x), lambda x: x.one() / x, flops=16)
_row("log2", lambda s, x: s.log(x) / s.log(2), lambda x: 1.4426950408889634 / x, flops=16)
_row("log10", lambda s, x: s.log(x) / s.log(10), lambda x: 0.4342944819032518 / x, flops=16)
_row("log1p", lambda s, x: s.log(1 + x), lambda x: x.one() / (x + 1), flops=20)
_row("expm1", lambda s, x: s.exp(x) - 1, lambda x: _f("exp", x), flops=18)
_row("sqrt", lambda s, x: s.sqrt(x), lambda x: 0.5 / _f("sqrt", x), flops=4)
_row("rsqrt", lambda s, x: 1 / s.sqrt(x), lambda x: -0.5 * _f("rsqrt", x) / x, flops=8)
_row("cbrt", lambda s, x: s.cbrt(x), lambda x: _f("cbrt", x) / (3 * x), flops=20)
_row("sin", lambda s, x: s.sin(x), lambda x: _f("cos", x), flops=20)
_row("cos", lambda s, x: s.cos(x), lambda x: -_f("sin", x), flops=20)
_row("tan", lambda s, x: s.tan(x), lambda x: 1 + _f("tan", x) * _f("tan", x), flops=30)
_row("sinh", lambda s, x: s.sinh(x), lambda x: _f("cosh", x), flops=24)
_row("cosh", lambda s, x: s.cosh(x), lambda x: _f("sinh", x), flops=20)
_row("tanh", lambda s, x: s.tanh(x), lambda x: 1 - _f("tanh", x) * _f("tanh", x), flops=18)
_row("asin", lambda s, x: s.asin(x), lambda x: _f("rsqrt", (1 - x) * (1 + x)), flops=20)
_row("acos", lambda s, x: s.acos(x), lambda x: -_f("rsqrt", (1 - x) * (1 + x)), flops=20)
_row("atan", lambda s, x: s.atan(x), lambda x: 1 / (1 + x * x), flops=18)
_row("asinh", lambda s, x: s.asinh(x), lambda x: _f("rsqrt", 1 + x * x), flops=26)
_row("acosh", lambda s, x: s.acosh(x), lambda x: _f("rsqrt", x - 1) * _f("rsqrt", x + 1), flops=26)
_row("atanh", lambda s, x: s.atanh(x), lambda x: 1 / ((1 - x) * (1 + x)), flops=26)
_row("atan2", lambda s, y, x: s.atan2(y, x), lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y), flops=24)
_row("erf", lambda s, x: s.erf(x), lambda x: 1.1283791670955126 * _f("exp", -(x * x)), flops=20)
_row("erfc", lambda s, x: s.erfc(x), lambda x: -1.1283791670955126 * _f("exp", -(x * x)), flops=30)
# sigma(x) sigma(-x), not sigma (1 - sigma): 1 - sigma loses all its digits for large x.
_row("sigmoid", lambda s, x: 1 / (1 + s.exp(-x)), lambda x: _f("sigmoid", x) * _f("sigmoid", -x), flops=18)
_row("softplus", lambda s, x: s.log(1 + s.exp(x)), lambda x: _f("sigmoid", x), flops=30)
_row("select", lambda s, c, x, y: s.Piecewise((x, c), (y, True)), arity=3)
for _name, _relation in {"equal": "Eq", "not_equal": "Ne", "less": "Lt", "less_equal": "Le", "greater": "Gt", "greater_equal": "Ge"}.items():
    _row(_name, lambda s, x, y, r=_relation: getattr(s, r)(x, y), arity=2, result="bool")
_row("isnan", lambda s, x: s.Function("isnan")(x), result="bool")
_row("isfinite", lambda s, x: s.Function("isfinite")(x), result="bool")
_row("bit_and", lambda s, x, y: s.And(x, y), arity=2)
_row("bit_or", lambda s, x, y: s.Or(x, y), arity=2)
_row("bit_xor", lambda s, x, y: s.Xor(x, y), arity=2)
_row("bit_not", lambda s, x: s.Not(x))
_row("shift_left", lambda s, x, y: x * 2**y, arity=2)
_row("shift_right", lambda s, x, y: s.floor(x / 2**y), arity=2)
_row("multiply_high", lambda s, x, y: s.Function("mulhi")(x, y), arity=2)
_row("bitcast", lambda s, x: s.Function("bitcast")(x))
_row("cast", lambda s, x: x)
