"""Scalar expressions evaluated by NumPy: the meaning of the closed table, for the interpreter and the tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..types import is_floating, numpy_dtype
from .expression import Const, Expr, Scalar, Variable, walk

Array = np.ndarray[Any, Any]


def erf(x: Array) -> Array:
    """The error function, by the standard library's scalar in float64 over every element."""
    return _elementwise(math.erf, x)


def erfc(x: Array) -> Array:
    """1 - erf(x), by the standard library's scalar in float64 over every element."""
    return _elementwise(math.erfc, x)


def _elementwise(function: Callable[[float], float], x: Array) -> Array:
    values = np.frompyfunc(function, 1, 1)(np.asarray(x, "float64"))
    return np.asarray(values, "float64").astype(x.dtype)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow: for negative x through exp(x)."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def share(x: Array, y: Array) -> Array:
    """1 where x > y, 1/2 where x = y, else 0."""
    return np.where(x > y, 1, np.where(x == y, 0.5, 0)).astype(x.dtype)


def multiply_high(x: Array, y: Array) -> Array:
    """The upper 32 bits of the 64-bit product of two uint32."""
    return ((x.astype("uint64") * y.astype("uint64")) >> np.uint64(32)).astype("uint32")


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "select": np.where, "erf": erf, "erfc": erfc, "sigmoid": sigmoid, "softplus": softplus, "share": share,
    "round": np.rint, "rsqrt": lambda x: 1 / np.sqrt(x), "multiply_high": multiply_high,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "bit_and": np.bitwise_and, "bit_or": np.bitwise_or, "bit_xor": np.bitwise_xor, "bit_not": np.bitwise_not,
    "shift_left": np.left_shift, "shift_right": np.right_shift,
}  # fmt: skip


def evaluate(expression: Expr, arrays: Sequence[Array]) -> Array:
    """A declared scalar expression on whole arrays of one shape."""
    values: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for x in walk(expression):
            values[x.number] = _step(x, values, arrays)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    return np.broadcast_to(values[expression.number], shape)


def _step(x: Expr, values: dict[int, Array], arrays: Sequence[Array]) -> Array:
    if isinstance(x, Variable):
        return arrays[x.position]
    if isinstance(x, Const):
        return np.asarray(x.value, numpy_dtype(x.dtype))
    assert isinstance(x, Scalar)
    operands = [values[operand.number] for operand in x.operands]
    if x.function == "cast":
        return cast(operands[0], x.dtype)
    if x.function == "bitcast":
        return np.ascontiguousarray(operands[0]).view(numpy_dtype(x.dtype))
    function = FUNCTIONS.get(x.function) or getattr(np, x.function)
    return np.asarray(function(*operands))


def cast(x: Array, dtype: str) -> Array:
    """Conversion as C does it, with what C leaves open decided: NaN becomes 0, and values beyond an integer's range saturate."""
    to = numpy_dtype(dtype)
    if is_floating(x.dtype.name) and to.kind in "iu":
        limits = np.iinfo(to)
        wide = np.nan_to_num(np.trunc(x.astype("float64")), nan=0.0, posinf=np.inf, neginf=-np.inf)
        inside = np.clip(wide, float(limits.min), float(limits.max))
        above, below = wide >= float(limits.max), wide <= float(limits.min)
        safe = np.where(above | below, 0.0, inside).astype(to)
        return np.where(above, limits.max, np.where(below, limits.min, safe)).astype(to)
    return x.astype(to)
