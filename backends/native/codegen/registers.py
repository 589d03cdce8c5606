"""How dtypes are held in registers and in memory."""

from __future__ import annotations

import numpy as np

from ..llvm import F32, F64, I1, I8, I16, I32, I64, Function, Type, Value
from .half import narrowed, widened

REGISTER: dict[str, Type] = {
    "bool": I1, "int8": I8, "uint8": I8, "int16": I16, "uint16": I16, "int32": I32, "uint32": I32, "int64": I64, "uint64": I64,
    "float16": F32, "bfloat16": F32, "float32": F32, "float64": F64,
}  # fmt: skip
MEMORY: dict[str, Type] = {**REGISTER, "bool": I8, "float16": I16, "bfloat16": I16}


def to_register(f: Function, value: Value, dtype: str) -> Value:
    """A value just loaded, as it is computed with: bools as i1, 16-bit floats widened."""
    if dtype == "bool":
        return f.compare("ne", value, value.type.const(0))
    if dtype in ("float16", "bfloat16"):
        return widened(f, value, dtype)
    return value


def to_memory(f: Function, value: Value, dtype: str) -> Value:
    """A computed value as it is stored."""
    lanes = value.type.lanes
    if dtype == "bool":
        return f.convert("zext", value, I8.with_lanes(lanes))
    if dtype in ("float16", "bfloat16"):
        return narrowed(f, value, dtype)
    return value


def itemsize(dtype: str) -> int:
    """Bytes of one element in memory."""
    return MEMORY[dtype].bits // 8


def integer_limits(dtype: str) -> tuple[int, int]:
    """The least and the greatest value of an integer dtype."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)
