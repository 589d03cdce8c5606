"""Ops that are exactly one function of the closed scalar table: a row of data each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from .. import formula
from ..formula import Formula, call
from ..ir import Node, Tensor
from ..kernel import interpretation
from ..kernel.expression import Expr, apply
from ..kernel.functions import TABLE
from ..op import Array, Sample, function, sample_array
from ..record import record
from .elementwise import Elementwise, align

Notation = Callable[..., Formula] | None
_COMMUTATIVE = frozenset(["add", "multiply", "maximum", "minimum", "equal", "not_equal", "bitwise_and", "bitwise_or", "bitwise_xor"])


@record
class TableFunction(Elementwise):
    """The base of these ops; `function` is the row's name in the table, `numpy` computes it independently."""

    function: ClassVar[str]
    numpy: ClassVar[Callable[..., Array]]
    notation: ClassVar[Notation] = None
    low: ClassVar[float] = -2.0
    high: ClassVar[float] = 2.0

    def expression(self, *x: Expr) -> Expr:
        return apply(self.function, *x)

    def evaluate(self, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(type(self).numpy(*operands))

    def formula(self, node: Node, *operands: Formula) -> Formula:
        notation = type(self).notation
        return notation(*operands) if notation else call(self.name, *operands)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for dtype in cls._sample_dtypes():
            for shape in ((3, 5), (7,), (), (0, 4)):
                arrays = tuple(sample_array(*shape, dtype=dtype, low=cls.low, high=cls.high, seed=k) for k in range(cls.arity))
                yield Sample(cls(), arrays)

    @classmethod
    def _sample_dtypes(cls) -> Iterable[str]:
        if "f" in cls.kinds:
            yield "float64"
        if "i" in cls.kinds and cls.function not in ("floor_divide", "remainder", "power"):
            yield from ("int64", "int8")
        if "b" in cls.kinds:
            yield "bool"


def _function(kind: type[TableFunction], public: str, document: str) -> None:
    floating = kind.kinds == "f"

    def unary(x: Any) -> Tensor:
        return kind()(*align(x, floating=floating))

    def binary(x: Any, y: Any) -> Tensor:
        return kind()(*align(x, y, floating=floating))

    made: Callable[..., Tensor] = unary if kind.arity == 1 else binary
    made.__name__ = made.__qualname__ = public
    made.__doc__ = document
    function(made)


def _define(
    public: str, document: str, numpy: Callable[..., Any], kinds: str = "f", row: str | None = None, notation: Notation = None, **bounds: float
) -> None:
    row = row or public
    members = {
        "__doc__": document, "name": public, "function": row, "numpy": staticmethod(numpy), "kinds": kinds,
        "notation": notation and staticmethod(notation), "arity": TABLE[row].arity, "commutative": public in _COMMUTATIVE, "__module__": __name__, **bounds,
    }  # fmt: skip
    kind: type[TableFunction] = type(public.title().replace("_", ""), (TableFunction,), members)  # without fields of its own it is a dataclass already
    _function(kind, public, document)


def _relation(sign: str) -> Callable[..., Formula]:
    return lambda x, y: formula.related(x, sign, y)


def _heaviside(x: Formula, y: Formula) -> Formula:
    return call("H", formula.subtract(x, y))


_define("add", "x + y, elementwise.", np.add, "fi", notation=formula.add)
_define("subtract", "x - y, elementwise.", np.subtract, "fi", notation=formula.subtract)
_define("multiply", "x * y, elementwise.", np.multiply, "fi", notation=formula.multiply)
_define("divide", "x / y, elementwise; integers give float64.", np.divide, notation=formula.divide, low=0.5)
_define("floor_divide", "The largest integer not above x / y; integer division by zero gives 0, as in NumPy.", np.floor_divide, "fi", low=0.5)
_define("remainder", "x - y * floor(x / y), with the sign of y; integer remainder by zero gives 0, as in NumPy.", np.remainder, "fi", low=0.5)
_define("power", "x to the power y.", np.power, "f", notation=formula.power, low=0.3)
_define("maximum", "The larger of x and y; NaN where either is NaN.", np.maximum, "fib", notation=partial(call, "max"))
_define("minimum", "The smaller of x and y; NaN where either is NaN.", np.minimum, "fib", notation=partial(call, "min"))
_define("atan2", "The angle of the point (x, y), in radians.", np.arctan2)
_define("negative", "-x", np.negative, "fi", notation=formula.negate)
_define("abs", "|x|", np.abs, "fi", notation=formula.magnitude)
_define("sign", "-1, 0 or 1; NaN for NaN.", np.sign, "fi")
_define("floor", "The largest integer not above x.", np.floor)
_define("ceil", "The smallest integer not below x.", np.ceil)
_define("round", "The nearest integer, halves to even.", np.rint, low=-1.4, high=1.4)
_define("trunc", "x without its fraction.", np.trunc)
_define("exp", "e to the power x.", np.exp)
_define("exp2", "2 to the power x.", np.exp2)
_define("log", "The natural logarithm.", np.log, low=0.3)
_define("log2", "The logarithm to base 2.", np.log2, low=0.3)
_define("log10", "The logarithm to base 10.", np.log10, low=0.3)
_define("log1p", "log(1 + x), exact for small x.", np.log1p, low=-0.6)
_define("expm1", "exp(x) - 1, exact for small x.", np.expm1)
_define("sqrt", "The square root.", np.sqrt, low=0.3)
_define("rsqrt", "1 / sqrt(x).", lambda x: 1 / np.sqrt(x), low=0.3)
_define("cbrt", "The cube root.", np.cbrt, low=0.3)
_define("sin", "Sine of x in radians.", np.sin)
_define("cos", "Cosine of x in radians.", np.cos)
_define("tan", "Tangent of x in radians.", np.tan, low=-1.2, high=1.2)
_define("sinh", "Hyperbolic sine.", np.sinh)
_define("cosh", "Hyperbolic cosine.", np.cosh)
_define("asin", "Inverse sine, in radians.", np.arcsin, low=-0.8, high=0.8)
_define("acos", "Inverse cosine, in radians.", np.arccos, low=-0.8, high=0.8)
_define("atan", "Inverse tangent, in radians.", np.arctan)
_define("asinh", "Inverse hyperbolic sine.", np.arcsinh)
_define("acosh", "Inverse hyperbolic cosine.", np.arccosh, low=1.3)
_define("atanh", "Inverse hyperbolic tangent.", np.arctanh, low=-0.8, high=0.8)
_define("erf", "The error function.", interpretation.erf)
_define("erfc", "1 - erf(x), exact for large x.", interpretation.erfc)
_define("softplus", "log(1 + exp(x)), without overflow.", interpretation.softplus)
_define("share", "1 where x > y, 1/2 where x = y, else 0: the derivative of max(x, y) by x.", interpretation.share, notation=_heaviside)
_define("equal", "x == y", np.equal, "fib", notation=formula.equal)
_define("not_equal", "x != y", np.not_equal, "fib", notation=_relation("≠"))
_define("less", "x < y", np.less, "fib", notation=_relation("<"))
_define("less_equal", "x <= y", np.less_equal, "fib", notation=_relation("≤"))
_define("greater", "x > y", np.greater, "fib", notation=_relation(">"))
_define("greater_equal", "x >= y", np.greater_equal, "fib", notation=_relation("≥"))
_define("isnan", "Whether x is not a number.", np.isnan)
_define("isfinite", "Whether x is neither NaN nor infinite.", np.isfinite)
_define("bitwise_and", "x & y; the logical and of bools.", np.bitwise_and, "ib", row="bit_and")
_define("bitwise_or", "x | y; the logical or of bools.", np.bitwise_or, "ib", row="bit_or")
_define("bitwise_xor", "x ^ y; the exclusive or of bools.", np.bitwise_xor, "ib", row="bit_xor")
_define("bitwise_not", "~x; the negation of bools.", np.bitwise_not, "ib", row="bit_not")
_define("left_shift", "x * 2**y for integers; bits shifted out are lost.", np.left_shift, "i", row="shift_left", low=0.0)
_define("right_shift", "floor(x / 2**y) for integers.", np.right_shift, "i", row="shift_right", low=0.0)
