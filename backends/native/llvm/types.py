"""LLVM types, and values with their text."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from graphdl.record import record

FLOATS = {"half": 16, "bfloat": 16, "float": 32, "double": 64}


@record(slots=True)
class Type:
    """An LLVM first-class type: a scalar, or a vector of `lanes` of it when `lanes` is positive."""

    scalar: str
    lanes: int = 0

    @property
    def text(self) -> str:
        return f"<{self.lanes} x {self.scalar}>" if self.lanes else self.scalar

    @property
    def is_float(self) -> bool:
        return self.scalar in FLOATS

    @property
    def bits(self) -> int:
        if self.scalar == "ptr":
            return 64
        return FLOATS.get(self.scalar) or int(self.scalar[1:])

    @property
    def suffix(self) -> str:
        """The type's mangling in intrinsic names, e.g. `v16f32`."""
        kind = "p0" if self.scalar == "ptr" else ("bf16" if self.scalar == "bfloat" else f"f{self.bits}" if self.is_float else self.scalar)
        return f"v{self.lanes}{kind}" if self.lanes else kind

    def with_lanes(self, lanes: int) -> Type:
        return self if lanes == self.lanes else replace(self, lanes=lanes)

    def with_scalar(self, scalar: str) -> Type:
        return self if scalar == self.scalar else replace(self, scalar=scalar)

    def const(self, value: float | int | bool) -> Value:
        """A constant of this type; vectors hold it in every lane."""
        text = _float_text(float(value), self.scalar) if self.is_float else _integer_text(value, self)
        return Value(f"splat ({self.scalar} {text})" if self.lanes else text, self)


@dataclass(slots=True, unsafe_hash=True)
class Value:
    """An SSA name or a constant, with its type. It never changes; a frozen class would take three times as long to make one, of 100,000 in a program."""

    text: str
    type: Type

    @property
    def typed(self) -> str:
        return f"{self.type.text} {self.text}"


F16, BF16, F32, F64 = Type("half"), Type("bfloat"), Type("float"), Type("double")
I1, I8, I16, I32, I64, PTR = Type("i1"), Type("i8"), Type("i16"), Type("i32"), Type("i64"), Type("ptr")


def _float_text(value: float, scalar: str) -> str:
    if scalar in ("half", "bfloat"):
        return f"0x{'H' if scalar == 'half' else 'R'}{_half_bits(value, scalar):04X}"
    if scalar == "float":
        value = _round_to_single(value)
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def _round_to_single(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _half_bits(value: float, scalar: str) -> int:
    if scalar == "half":
        return int(struct.unpack("<H", struct.pack("<e", value))[0])
    bits = int(struct.unpack("<I", struct.pack("<f", value))[0])
    if value != value:
        return 0x7FC0
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def _integer_text(value: float | int | bool, type: Type) -> str:
    if type.scalar == "ptr":
        return "null"
    if type.scalar == "i1":
        return "true" if value else "false"
    bits = type.bits
    wrapped = int(value) & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)
