"""Arithmetic, comparison, logic and rounding, element by element."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import FormatError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.select import where
from ...ops.source import ones_like, zeros
from ...types import is_floating, is_integer
from ..elements import element_name
from ..registry import Call, translates

_UNARY = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan", "Atanh": "atanh", "Cos": "cos", "Cosh": "cosh",
    "Erf": "erf", "Exp": "exp", "IsNaN": "isnan", "Log": "log", "Neg": "negative", "Not": "bitwise_not", "BitwiseNot": "bitwise_not", "Sign": "sign",
    "Sin": "sin", "Sinh": "sinh", "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh",
}  # fmt: skip
_BINARY = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "And": "bitwise_and", "Or": "bitwise_or", "Xor": "bitwise_xor", "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor", "Equal": "equal", "Less": "less", "LessOrEqual": "less_equal", "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
}  # fmt: skip
_EXACT = {"Floor": "floor", "Ceil": "ceil", "Round": "round"}


def _enter() -> None:
    def unary(name: str) -> Callable[..., Tensor]:
        return lambda call, x: FUNCTIONS[name](x)

    def binary(name: str) -> Callable[..., Tensor]:
        return lambda call, x, y: FUNCTIONS[name](*aligned(call, x, y))

    for op, name in _UNARY.items():
        translates(op)(unary(name))
    for op, name in _BINARY.items():
        translates(op)(binary(name))
    for op, name in _EXACT.items():
        translates(op)(lambda call, x, name=name: FUNCTIONS[name](x) if is_floating(x.dtype) else x)


def aligned(call: Call, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Operands that broadcast. Before opset 7, the second one's axes begin at `axis` of the first, if it has `broadcast`."""
    if x.dtype != y.dtype:
        raise FormatError(f"the operands have dtypes {x.dtype} and {y.dtype}, which must be one")
    if call.opset >= 7 or not call.attribute("broadcast", 0):
        return x, y
    axis = call.attribute("axis", x.ndim - y.ndim)
    return x, y.reshape((*y.shape, *[1] * (x.ndim - axis - y.ndim)))


@translates("Reciprocal")
def _reciprocal(call: Call, x: Tensor) -> Tensor:
    return 1 / x


@translates("Div")
def _div(call: Call, x: Tensor, y: Tensor) -> Tensor:
    x, y = aligned(call, x, y)
    if is_floating(x.dtype):
        return x / y
    return truncated_quotient(call, x, y)


def truncated_quotient(call: Call, x: Tensor, y: Tensor) -> Tensor:
    """x / y of integers, rounded towards zero as in C."""
    if x.dtype.startswith("u") or _has_sizes(call, x, y):
        return x // y
    quotient, rest = x // y, x % y
    return quotient + ((rest != 0) & ((x < 0) != (y < 0))).astype(x.dtype)


def _has_sizes(call: Call, *operands: Tensor) -> bool:
    """Whether symbolic sizes are among the elements: they are not negative, and what is done to them is kept simple."""
    arrays = [call.known(x) for x in operands]
    return all(array is not None for array in arrays) and any(array is not None and array.dtype == object for array in arrays)


@translates("Mod")
def _mod(call: Call, x: Tensor, y: Tensor) -> Tensor:
    if not call.attribute("fmod", 0):
        return x % y
    # C's fmod has the sign of the dividend; of magnitudes both definitions agree.
    if x.dtype.startswith("u"):
        return x % y
    rest = abs(x) % abs(y)
    return where(x < 0, -rest, rest)


@translates("Pow")
def _pow(call: Call, x: Tensor, y: Tensor) -> Tensor:
    if is_floating(x.dtype):
        exponent = call.known(y)
        if exponent is not None and exponent.size == 1 and exponent.dtype != object and exponent.item() == 2:
            return x * x
        return x ** y.astype(x.dtype)
    if is_floating(y.dtype):
        return (x.astype("float64") ** y.astype("float64")).astype(x.dtype)
    return _integer_power(x, y.astype(x.dtype))


def _integer_power(x: Tensor, y: Tensor) -> Tensor:
    """x**y by squaring, one step for each bit that matters: higher ones leave only powers of -1, 0 and 1 in range."""
    result, square = ones_like(x), x
    for bit in range(6):
        is_set = (FUNCTIONS["right_shift"](y, bit) & 1) != 0
        result = result * where(is_set, square, 1)
        square = square * square
    return result


@translates("Max")
def _max(call: Call, *x: Tensor) -> Tensor:
    return functools.reduce(FUNCTIONS["maximum"], x)


@translates("Min")
def _min(call: Call, *x: Tensor) -> Tensor:
    return functools.reduce(FUNCTIONS["minimum"], x)


@translates("Sum")
def _sum(call: Call, *x: Tensor) -> Tensor:
    return functools.reduce(FUNCTIONS["add"], x)


@translates("Mean")
def _mean(call: Call, *x: Tensor) -> Tensor:
    return _sum(call, *x) / len(x)


@translates("Where")
def _where(call: Call, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return where(condition, x, y)


@translates("Clip")
def _clip(call: Call, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    # Bounds are attributes before opset 11, inputs from then on. Where low is above high, high is the result.
    lower = call.attribute("min", low)
    upper = call.attribute("max", high)
    x = x if lower is None else FUNCTIONS["maximum"](x, lower)
    return x if upper is None else FUNCTIONS["minimum"](x, upper)


@translates("BitShift")
def _bit_shift(call: Call, x: Tensor, y: Tensor) -> Tensor:
    last = np.dtype(x.dtype).itemsize * 8 - 1
    within = FUNCTIONS["minimum"](y, last)
    if call.required("direction") == "LEFT":
        return where(y > last, 0, FUNCTIONS["left_shift"](x, within))
    moved = FUNCTIONS["right_shift"](x, within)
    return where(y > last, 0, moved) if x.dtype.startswith("u") else moved


@translates("BitCast")
def _bit_cast(call: Call, x: Tensor) -> Tensor:
    to = element_name(call.required("to"))
    if x.dtype == "bool":
        return FUNCTIONS["view"](x.astype("uint8"), to)
    return FUNCTIONS["view"](x, "uint8") != 0 if to == "bool" else FUNCTIONS["view"](x, to)


@translates("IsInf")
def _is_inf(call: Call, x: Tensor) -> Tensor:
    positive = (x == math.inf) if call.attribute("detect_positive", 1) else None
    negative = (x == -math.inf) if call.attribute("detect_negative", 1) else None
    if positive is None or negative is None:
        return zeros(x.shape, "bool") if positive is negative else positive if positive is not None else negative  # type: ignore[return-value]
    return positive | negative


@translates("Cast")
def _cast(call: Call, x: Tensor) -> Tensor:
    return converted(x, element_name(call.required("to")))


@translates("CastLike")
def _cast_like(call: Call, x: Tensor, like: Tensor) -> Tensor:
    return converted(x, like.dtype)


def converted(x: Tensor, dtype: str) -> Tensor:
    """x as another dtype. Floats beyond the range of a small integer wrap around as in C: through int64."""
    narrow = is_integer(dtype) and is_floating(x.dtype) and dtype not in ("int64", "uint64")
    return (x.astype("int64") if narrow else x).astype(dtype)


@translates("Identity")
def _identity(call: Call, x: Any) -> Any:
    return x


_enter()
