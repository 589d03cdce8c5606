"""Elementwise ops: each is declared by a scalar expression, which is written function by function."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...errors import UnsupportedOpError
from ...ir import Node, Tensor
from ...ir.node import REGISTRY
from ...kernel.expression import Const, Expr, Scalar, Variable, walk
from ...ops.elementwise import Elementwise
from ...ops.shape import BroadcastTo
from ...ops.source import Full
from ...types import is_floating, is_integer, numpy_dtype
from ..elements import element_number
from ..writer import RULES, Writer

Names = tuple[str, ...]
_SAME = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow", "negative": "Neg", "abs": "Abs", "sign": "Sign",
    "maximum": "Max", "minimum": "Min", "floor": "Floor", "ceil": "Ceil", "round": "Round", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin",
    "cos": "Cos", "tan": "Tan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh", "asin": "Asin", "acos": "Acos", "atan": "Atan", "asinh": "Asinh",
    "acosh": "Acosh", "atanh": "Atanh", "erf": "Erf", "sigmoid": "Sigmoid", "softplus": "Softplus", "select": "Where", "equal": "Equal", "less": "Less",
    "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual", "isnan": "IsNaN",
}  # fmt: skip
_BITS = {"bit_and": ("And", "BitwiseAnd"), "bit_or": ("Or", "BitwiseOr"), "bit_xor": ("Xor", "BitwiseXor"), "bit_not": ("Not", "BitwiseNot")}
_ORDER = {"less", "less_equal", "greater", "greater_equal"}
_WHOLE = {"relu": "Relu", "softsign": "Softsign", "mish": "Mish"}  # what ONNX has as it is


def _write(writer: Writer, node: Node) -> str:
    op, operands = node.op, node.operands
    assert isinstance(op, Elementwise)
    names = _relaxed(writer, operands)
    if op.name in _WHOLE:
        return writer.emit(_WHOLE[op.name], *names)
    if op.name in ("stop_gradient", "by_mode"):
        return writer.emit("Identity", names[0])
    return _expression(writer, node, op.scalar(tuple(x.dtype for x in operands)), names)


def _relaxed(writer: Writer, operands: tuple[Tensor, ...]) -> list[str]:
    """The operands' names; those that only repeat elements are left to ONNX's broadcasting while another one has the whole shape."""
    spread = [isinstance(x.node.op, (BroadcastTo, Full)) for x in operands]
    if all(spread):
        return [writer.name(x) for x in operands]
    return [_small(writer, x) if wide else writer.name(x) for x, wide in zip(operands, spread, strict=True)]


def _small(writer: Writer, x: Tensor) -> str:
    op = x.node.op
    if isinstance(op, BroadcastTo):
        return writer.name(x.node.operands[0])
    return writer.constant(op.value, x.dtype) if not hasattr(op.value, "terms") else writer.name(x)


def _expression(writer: Writer, node: Node, expression: Expr, names: list[str]) -> str:
    found: dict[int, str] = {}
    for x in walk(expression):
        if isinstance(x, Variable):
            found[x.number] = names[x.position]
        elif isinstance(x, Const):
            found[x.number] = writer.constant(x.value, x.dtype)
        else:
            assert isinstance(x, Scalar)
            found[x.number] = _function(writer, node, x, tuple(found[operand.number] for operand in x.operands))
    name = found[expression.number]
    return writer.emit("Identity", name) if isinstance(expression, Variable) else name


def _function(writer: Writer, node: Node, x: Scalar, names: Names) -> str:
    dtype = x.operands[0].dtype
    if x.function == "cast":
        return _cast(writer, dtype, x.dtype, names[0])
    if x.function in _BITS:
        return writer.emit(_BITS[x.function][dtype != "bool"], *names)
    if x.function in ("maximum", "minimum") and dtype == "bool":
        return writer.emit("Or" if x.function == "maximum" else "And", *names)
    if x.function in _ORDER and dtype == "bool":  # which ONNX does not order
        names = tuple(writer.emit("Cast", name, to=element_number("int32")) for name in names)
    if x.function in _SAME:
        return writer.emit(_SAME[x.function], *names)
    if x.function not in _COMPOSED:
        raise UnsupportedOpError(f"{node.told} cannot be written as ONNX nodes: they have no {x.function}")
    return _COMPOSED[x.function](writer, dtype, *names)


def _cast(writer: Writer, dtype: str, to: str, x: str) -> str:
    """Cast; of floats to integers as graphdl has it where ONNX leaves it open: NaN gives 0, and beyond the range it saturates."""
    found = writer.emit("Cast", x, to=element_number(to))
    if not (is_floating(dtype) and is_integer(to)):
        return found
    limits = np.iinfo(numpy_dtype(to))
    wide = x if dtype in ("float32", "float64") else writer.emit("Cast", x, to=element_number("float32"))
    exact = dtype if dtype in ("float32", "float64") else "float32"
    found = writer.emit("Where", writer.emit("IsNaN", wide), writer.constant(0, to), found)
    above = writer.emit("GreaterOrEqual", wide, writer.constant(float(limits.max), exact))
    below = writer.emit("LessOrEqual", wide, writer.constant(float(limits.min), exact))
    found = writer.emit("Where", above, writer.constant(limits.max, to), found)
    return writer.emit("Where", below, writer.constant(limits.min, to), found)


def _floor_divide(writer: Writer, dtype: str, x: str, y: str) -> str:
    if is_floating(dtype):
        return writer.emit("Floor", writer.emit("Div", x, y))
    # Integer Div goes towards zero; a quotient of other signs that leaves a rest is one too large. Division by zero gives 0.
    zero, one = writer.constant(0, dtype), writer.constant(1, dtype)
    none = writer.emit("Equal", y, zero)
    safe = writer.emit("Where", none, one, y)
    quotient = writer.emit("Div", x, safe)
    rest = writer.emit("Sub", x, writer.emit("Mul", quotient, safe))
    if dtype.startswith("u"):
        return writer.emit("Where", none, zero, quotient)
    signs = writer.emit("Xor", writer.emit("Less", rest, zero), writer.emit("Less", safe, zero))
    off = writer.emit("And", signs, writer.emit("Not", writer.emit("Equal", rest, zero)))
    floored = writer.emit("Where", off, writer.emit("Sub", quotient, one), quotient)
    return writer.emit("Where", none, zero, floored)


def _remainder(writer: Writer, dtype: str, x: str, y: str) -> str:
    if is_floating(dtype):
        # fmod has the sign of the dividend; where that is not the divisor's, the divisor is added.
        rest = writer.emit("Mod", x, y, fmod=1)
        zero = writer.constant(0, dtype)
        signs = writer.emit("Xor", writer.emit("Less", rest, zero), writer.emit("Less", y, zero))
        off = writer.emit("And", signs, writer.emit("Not", writer.emit("Equal", rest, zero)))
        return writer.emit("Where", off, writer.emit("Add", rest, y), rest)
    zero = writer.constant(0, dtype)
    none = writer.emit("Equal", y, zero)
    rest = writer.emit("Mod", x, writer.emit("Where", none, writer.constant(1, dtype), y))
    return writer.emit("Where", none, zero, rest)


def _trunc(writer: Writer, dtype: str, x: str) -> str:
    return writer.emit("Where", writer.emit("Less", x, writer.constant(0, dtype)), writer.emit("Ceil", x), writer.emit("Floor", x))


def _share(writer: Writer, dtype: str, x: str, y: str) -> str:
    half, one, zero = (writer.constant(value, dtype) for value in (0.5, 1, 0))
    return writer.emit("Where", writer.emit("Greater", x, y), one, writer.emit("Where", writer.emit("Equal", x, y), half, zero))


def _log1p(writer: Writer, dtype: str, x: str) -> str:
    """log(u) x / (u - 1) with u = 1 + x rounded, which takes the rounding back: Goldberg 1991, theorem 4."""
    one = writer.constant(1, dtype)
    u = writer.emit("Add", x, one)
    same = writer.emit("Equal", u, one)
    below = writer.emit("Where", same, one, writer.emit("Sub", u, one))
    exact = writer.emit("Div", writer.emit("Mul", writer.emit("Log", u), x), below)
    large = writer.emit("Greater", x, writer.constant(1e8, dtype))
    return writer.emit("Where", same, x, writer.emit("Where", large, writer.emit("Log", u), exact))


def _expm1(writer: Writer, dtype: str, x: str) -> str:
    """2 t / (1 - t) with t = tanh(x / 2), which is exact where exp(x) - 1 cancels."""
    one, two = writer.constant(1, dtype), writer.constant(2, dtype)
    t = writer.emit("Tanh", writer.emit("Div", x, two))
    near = writer.emit("Div", writer.emit("Mul", two, t), writer.emit("Sub", one, t))
    is_near = writer.emit("Less", writer.emit("Abs", x), one)
    return writer.emit("Where", is_near, near, writer.emit("Sub", writer.emit("Exp", x), one))


def _cbrt(writer: Writer, dtype: str, x: str) -> str:
    return writer.emit("Mul", writer.emit("Sign", x), writer.emit("Pow", writer.emit("Abs", x), writer.constant(1 / 3, dtype)))


def _atan2(writer: Writer, dtype: str, y: str, x: str) -> str:
    """atan(y / x), moved by pi into the half plane of x; at x = 0 a quarter turn by the sign of y."""
    zero, pi = writer.constant(0, dtype), writer.constant(math.pi, dtype)
    none = writer.emit("Equal", x, zero)
    angle = writer.emit("Atan", writer.emit("Div", y, writer.emit("Where", none, writer.constant(1, dtype), x)))
    turn = writer.emit("Where", writer.emit("Less", y, zero), writer.emit("Neg", pi), pi)
    moved = writer.emit("Where", writer.emit("Less", x, zero), writer.emit("Add", angle, turn), angle)
    quarter = writer.emit("Mul", writer.emit("Sign", y), writer.constant(math.pi / 2, dtype))
    return writer.emit("Where", none, quarter, moved)


def _is_finite(writer: Writer, dtype: str, x: str) -> str:
    wide = x if dtype in ("float32", "float64") else writer.emit("Cast", x, to=1)
    return writer.emit("Not", writer.emit("Or", writer.emit("IsNaN", wide), writer.emit("IsInf", wide)))


def _shift(direction: str) -> Callable[..., str]:
    def write(writer: Writer, dtype: str, x: str, y: str) -> str:
        if dtype.startswith("u"):
            return writer.emit("BitShift", x, y, direction=direction)
        if direction == "LEFT":
            bits = element_number("uint64")
            moved = writer.emit("BitShift", writer.emit("Cast", x, to=bits), writer.emit("Cast", y, to=bits), direction="LEFT")
            return writer.emit("Cast", moved, to=element_number(dtype))
        wide = [writer.emit("Cast", one, to=element_number("float64")) for one in (x, y)]
        power = writer.emit("Pow", writer.constant(2.0, "float64"), wide[1])
        return writer.emit("Cast", writer.emit("Floor", writer.emit("Div", wide[0], power)), to=element_number(dtype))

    return write


def _scaled_log(base: float) -> Callable[..., str]:
    return lambda writer, dtype, x: writer.emit("Mul", writer.emit("Log", x), writer.constant(1 / math.log(base), dtype))


_COMPOSED: dict[str, Callable[..., str]] = {
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "trunc": _trunc,
    "share": _share,
    "exp2": lambda writer, dtype, x: writer.emit("Pow", writer.constant(2, dtype), x),
    "log2": _scaled_log(2),
    "log10": _scaled_log(10),
    "log1p": _log1p,
    "expm1": _expm1,
    "rsqrt": lambda writer, dtype, x: writer.emit("Reciprocal", writer.emit("Sqrt", x)),
    "cbrt": _cbrt,
    "atan2": _atan2,
    "erfc": lambda writer, dtype, x: writer.emit("Sub", writer.constant(1, dtype), writer.emit("Erf", x)),
    "not_equal": lambda writer, dtype, x, y: writer.emit("Not", writer.emit("Equal", x, y)),
    "isfinite": _is_finite,
    "shift_left": _shift("LEFT"),
    "shift_right": _shift("RIGHT"),
}
RULES.update({name: _write for name, kind in REGISTRY.items() if issubclass(kind, Elementwise) and name not in ("dropout", "view")})
