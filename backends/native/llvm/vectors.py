"""Lanes of vectors: spreading, shuffling, masks."""

from __future__ import annotations

from collections.abc import Sequence

from .arithmetic import Arithmetic
from .types import I8, I16, I64, Type, Value


class Vectors(Arithmetic):
    """Instructions that make vectors of scalars, and scalars of vectors."""

    def splat(self, x: Value, lanes: int) -> Value:
        """`x` in every lane; constants stay constants."""
        if x.type.lanes == lanes:
            return x
        if not x.text.startswith("%"):
            return Value(f"splat ({x.type.scalar} {x.text})", x.type.with_lanes(lanes))
        to = x.type.with_lanes(lanes)
        one = self.emit(to, f"insertelement {to.text} poison, {x.typed}, i64 0")
        return self.emit(to, f"shufflevector {to.text} {one.text}, {to.text} poison, <{lanes} x i32> zeroinitializer")

    def lanes_index(self, type: Type) -> Value:
        """The constant vector <0, 1, 2, ...> of an integer vector type."""
        return Value("<" + ", ".join(f"{type.scalar} {k}" for k in range(type.lanes)) + ">", type)

    def shuffle(self, x: Value, y: Value, indices: Sequence[int]) -> Value:
        to = x.type.with_lanes(len(indices))
        mask = ", ".join(f"i32 {k}" for k in indices)
        return self.emit(to, f"shufflevector {x.typed}, {y.typed}, <{len(indices)} x i32> <{mask}>")

    def extract(self, x: Value, lane: int) -> Value:
        return self.emit(x.type.with_lanes(0), f"extractelement {x.typed}, i64 {lane}")

    def tail_mask(self, remaining: Value, lanes: int) -> Value:
        """Lanes k with k < `remaining` (i64), compared in narrow integers: as few registers as the lanes' numbers need."""
        narrow = I8 if lanes < 128 else I16
        bounded = self.intrinsic("smax", I64, self.intrinsic("smin", I64, remaining, I64.const(lanes)), I64.const(0))
        return self.compare("slt", self.lanes_index(narrow.with_lanes(lanes)), self.splat(self.convert("trunc", bounded, narrow), lanes))
