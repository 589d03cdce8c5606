"""The closed table of scalar functions in LLVM IR, for every dtype, scalar or vector."""

from __future__ import annotations

from collections.abc import Callable

from graphdl.types import UNSIGNED, is_floating

from ..llvm import I1, I32, Function, Type, Value
from ..math import FUNCTIONS as MATH
from .registers import REGISTER, integer_limits, to_memory, to_register

Emit = Callable[..., Value]


def emit_scalar(f: Function, name: str, dtype: str, operand_dtype: str, operands: list[Value]) -> Value:
    """`name` of the table applied to values of `operand_dtype`, giving `dtype`."""
    if name == "cast":
        return cast(f, operands[0], operand_dtype, dtype)
    if name == "bitcast":
        return f.bitcast(operands[0], REGISTER[dtype].with_lanes(operands[0].type.lanes))
    if name == "select":
        return f.select(*operands)
    if name in _COMPARISONS:
        return _compare(f, name, operand_dtype, *operands)
    if name in _ANY:
        return _ANY[name](f, *operands)
    if is_floating(operand_dtype):
        return _floating(f, name, operands)
    if operand_dtype == "bool":
        return {"maximum": f.bit_or, "minimum": f.bit_and}[name](*operands)
    return _INTEGER[name](f, operand_dtype, *operands)


def _contract(f: Function, instruction: str, x: Value, y: Value) -> Value:
    """Products and sums may be contracted to FMA; nothing else of fast math is allowed."""
    return f.emit(x.type, f"{instruction} contract {x.typed}, {y.text}")


def _floating(f: Function, name: str, operands: list[Value]) -> Value:
    if name in _FLOATING:
        return _FLOATING[name](f, *operands)
    return MATH[_MATH_NAMES.get(name, name)](f, *operands)


_MATH_NAMES = {"power": "pow", "remainder": "mod"}


def _floor_divide(f: Function, x: Value, y: Value) -> Value:
    """The floored quotient, through the exact remainder as NumPy has it: x / y by zero, and a zero with the sign of x / y."""
    zero = x.type.const(0.0)
    rest, plain = MATH["fmod"](f, x, y), f.div(x, y)
    below = f.bit_xor(f.compare("olt", y, zero), f.compare("olt", rest, zero))
    inexact = f.bit_and(f.compare("une", rest, zero), below)
    truncated = f.div(f.sub(x, rest), y)
    whole = MATH["round"](f, f.select(inexact, f.sub(truncated, x.type.const(1.0)), truncated))
    signed = f.select(f.compare("oeq", whole, zero), f.intrinsic("copysign", x.type, zero, plain), whole)
    return f.select(f.compare("oeq", y, zero), plain, signed)


def maximum(f: Function, x: Value, y: Value) -> Value:
    """The larger, or NaN where either is NaN."""
    return _extremum(f, "ogt", x, y)


def minimum(f: Function, x: Value, y: Value) -> Value:
    """The smaller, or NaN where either is NaN."""
    return _extremum(f, "olt", x, y)


def _extremum(f: Function, predicate: str, x: Value, y: Value) -> Value:
    chosen = f.select(f.compare(predicate, x, y), x, y)  # one instruction; a NaN in y comes through, one in x does not
    return f.select(f.compare("uno", x, x), x, chosen)


def _sign(f: Function, x: Value) -> Value:
    zero, one = x.type.const(0.0), x.type.const(1.0)
    magnitude = f.select(f.compare("one", x, zero), one, zero)
    signed = f.intrinsic("copysign", x.type, magnitude, x)
    plain = f.select(f.compare("oeq", x, zero), zero, signed)
    return f.select(f.compare("uno", x, x), x, plain)


def _share(f: Function, x: Value, y: Value) -> Value:
    one, half, zero = (x.type.const(k) for k in (1.0, 0.5, 0.0))
    return f.select(f.compare("ogt", x, y), one, f.select(f.compare("oeq", x, y), half, zero))


_FLOATING: dict[str, Emit] = {
    "add": lambda f, x, y: _contract(f, "fadd", x, y),
    "subtract": lambda f, x, y: _contract(f, "fsub", x, y),
    "multiply": lambda f, x, y: _contract(f, "fmul", x, y),
    "divide": lambda f, x, y: f.div(x, y),
    "negative": lambda f, x: f.neg(x),
    "abs": lambda f, x: f.intrinsic("fabs", x.type, x),
    "maximum": maximum,
    "minimum": minimum,
    "sign": _sign,
    "floor_divide": _floor_divide,
    "share": _share,
    "isnan": lambda f, x: f.compare("uno", x, x),
    "isfinite": lambda f, x: f.compare("olt", f.intrinsic("fabs", x.type, x), x.type.const(float("inf"))),
}


def _compare(f: Function, name: str, dtype: str, x: Value, y: Value) -> Value:
    floating, signed, unsigned = _COMPARISONS[name]
    predicate = floating if is_floating(dtype) else unsigned if dtype in (*UNSIGNED, "bool") else signed
    return f.compare(predicate, x, y)


_COMPARISONS = {
    "equal": ("oeq", "eq", "eq"), "not_equal": ("une", "ne", "ne"), "less": ("olt", "slt", "ult"), "less_equal": ("ole", "sle", "ule"),
    "greater": ("ogt", "sgt", "ugt"), "greater_equal": ("oge", "sge", "uge"),
}  # fmt: skip


def _multiply_high(f: Function, x: Value, y: Value) -> Value:
    wide = Type("i64", x.type.lanes)
    product = f.mul(f.convert("zext", x, wide), f.convert("zext", y, wide))
    return f.convert("trunc", f.shift_right(product, wide.const(32)), x.type)


_ANY: dict[str, Emit] = {
    "bit_and": lambda f, x, y: f.bit_and(x, y),
    "bit_or": lambda f, x, y: f.bit_or(x, y),
    "bit_xor": lambda f, x, y: f.bit_xor(x, y),
    "bit_not": lambda f, x: f.bit_xor(x, x.type.const(-1 if x.type.scalar != "i1" else True)),
    "multiply_high": _multiply_high,
}


def _divide_integers(f: Function, dtype: str, x: Value, y: Value) -> tuple[Value, Value]:
    """Floored quotient and remainder with NumPy's answers where the processor would trap: by zero both are 0."""
    zero, one = x.type.const(0), x.type.const(1)
    by_zero = f.compare("eq", y, zero)
    if dtype in UNSIGNED:
        safe = f.select(by_zero, one, y)
        quotient = f.emit(x.type, f"udiv {x.typed}, {safe.text}")
        return f.select(by_zero, zero, quotient), f.select(by_zero, zero, f.sub(x, f.mul(quotient, safe)))
    lowest = x.type.const(integer_limits(dtype)[0])
    overflows = f.bit_and(f.compare("eq", x, lowest), f.compare("eq", y, x.type.const(-1)))
    safe = f.select(f.bit_or(by_zero, overflows), one, y)
    towards_zero = f.div(x, safe)
    rest = f.sub(x, f.mul(towards_zero, safe))
    inexact = f.bit_and(f.compare("ne", rest, zero), f.compare("slt", f.bit_xor(rest, safe), zero))
    quotient = f.sub(towards_zero, f.convert("zext", inexact, x.type))
    remainder = f.add(rest, f.select(inexact, safe, zero))
    return f.select(by_zero, zero, quotient), f.select(f.bit_or(by_zero, overflows), zero, remainder)


def _integer_extremum(signed: str, unsigned: str) -> Emit:
    return lambda f, dtype, x, y: f.intrinsic(unsigned if dtype in UNSIGNED else signed, x.type, x, y)


def _integer_sign(f: Function, dtype: str, x: Value) -> Value:
    zero, one = x.type.const(0), x.type.const(1)
    positive = f.select(f.compare("ugt" if dtype in UNSIGNED else "sgt", x, zero), one, zero)
    return positive if dtype in UNSIGNED else f.select(f.compare("slt", x, zero), x.type.const(-1), positive)


def _shift(f: Function, instruction: str, dtype: str, x: Value, y: Value) -> Value:
    """Shifts by the width or more give 0 (or the sign), where LLVM's result would be undefined."""
    bits = x.type.bits
    within = f.compare("ult", y, x.type.const(bits))
    amount = f.select(within, y, x.type.const(bits - 1))
    if instruction == "ashr":
        return f.shift_right(x, amount, signed=True)
    shifted = f.shift_left(x, amount) if instruction == "shl" else f.shift_right(x, amount)
    return f.select(within, shifted, x.type.const(0))


_INTEGER: dict[str, Emit] = {
    "add": lambda f, d, x, y: f.add(x, y),
    "subtract": lambda f, d, x, y: f.sub(x, y),
    "multiply": lambda f, d, x, y: f.mul(x, y),
    "negative": lambda f, d, x: f.neg(x),
    "abs": lambda f, d, x: x if d in UNSIGNED else f.intrinsic("abs", x.type, x, I1.const(False)),
    "maximum": _integer_extremum("smax", "umax"),
    "minimum": _integer_extremum("smin", "umin"),
    "sign": _integer_sign,
    "floor_divide": lambda f, d, x, y: _divide_integers(f, d, x, y)[0],
    "remainder": lambda f, d, x, y: _divide_integers(f, d, x, y)[1],
    "shift_left": lambda f, d, x, y: _shift(f, "shl", d, x, y),
    "shift_right": lambda f, d, x, y: _shift(f, "lshr" if d in UNSIGNED else "ashr", d, x, y),
}


def cast(f: Function, x: Value, source: str, target: str) -> Value:
    """Conversion between dtypes with the meaning stated in `graphdl.kernel.interpretation.cast`."""
    lanes = x.type.lanes
    to = REGISTER[target].with_lanes(lanes)
    if target == "bool":
        return f.compare("une" if x.type.is_float else "ne", x, x.type.const(0))
    if is_floating(source) and is_floating(target):
        return _between_floats(f, x, target, to)
    if is_floating(source):
        if to.bits < 32:
            return _to_narrow(f, x, target, to)
        name = "fptoui.sat" if target in UNSIGNED else "fptosi.sat"
        return f.intrinsic(name, to, x, overload=[to, x.type])
    unsigned = source in UNSIGNED or source == "bool"
    if is_floating(target):
        converted = f.convert("uitofp" if unsigned else "sitofp", x, to)
        return _between_floats(f, converted, target, to) if target in ("float16", "bfloat16") else converted
    if to.bits == x.type.bits:
        return x
    return f.convert("trunc" if to.bits < x.type.bits else "zext" if unsigned else "sext", x, to)


def _to_narrow(f: Function, x: Value, target: str, to: Type) -> Value:
    """Floats as integers of 8 or 16 bits, NaN as 0: bounded as floats, for LLVM's saturating conversion to these goes lane by lane."""
    low, high = (x.type.const(limit) for limit in integer_limits(target))
    x = x if target in UNSIGNED else f.select(f.compare("ord", x, x), x, x.type.const(0))
    x = f.select(f.compare("ogt", x, low), x, low)
    bounded = f.select(f.compare("olt", x, high), x, high)
    return f.convert("trunc", f.convert("fptosi", bounded, I32.with_lanes(x.type.lanes)), to)


def _between_floats(f: Function, x: Value, target: str, to: Type) -> Value:
    if target in ("float16", "bfloat16"):  # rounded as memory would round it
        return to_register(f, to_memory(f, x, target), target)
    if x.type.scalar == to.scalar:
        return x
    return f.convert("fpext" if to.bits > x.type.bits else "fptrunc", x, to)
