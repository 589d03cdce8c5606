"""Operands and epilogues that are plain strided arrays."""

from __future__ import annotations

from graphdl.record import record

from ..llvm import I64, Function, Type, Value
from .interface import Axis, Direct


@record(slots=True)
class Matrix:
    """An operand read as it is. Its free axis is the row of `direct`, k the column; `contiguous` names the axis of stride one."""

    direct: Direct
    scalar: Type
    contiguous: Axis | None
    indexed: None = None

    def vector(self, f: Function, batch: Value, free: Value, k: Value, lanes: int, axis: Axis, mask: Value | None) -> Value:
        direct, scalar = self.direct, self.scalar.scalar
        place = f.add(f.mul(batch, direct.batch_stride), f.add(f.mul(free, direct.row_stride), f.mul(k, direct.column_stride)))
        start = f.offset(direct.pointer, place, scalar)
        vector = self.scalar.with_lanes(lanes)
        if not lanes or axis == self.contiguous:
            return f.load(start, vector, mask)
        stride = direct.column_stride if axis == "k" else direct.row_stride
        steps = f.mul(f.lanes_index(I64.with_lanes(lanes)), f.splat(stride, lanes))
        pointers = f.emit(Type("ptr", lanes), f"getelementptr {scalar}, {start.typed}, {steps.typed}")
        return f.gather(pointers, vector, mask)


@record(slots=True)
class Store:
    """The sums themselves, stored into a matrix."""

    direct: Direct
    scalar: Type
    arrays: int = 0

    def places(self, f: Function, batch: Value, m: Value, n: Value) -> list[Value]:
        return []

    def store(self, f: Function, batch: Value, m: Value, n: Value, value: Value, mask: Value | None) -> None:
        direct = self.direct
        place = f.add(f.mul(batch, direct.batch_stride), f.add(f.mul(m, direct.row_stride), n))
        f.store(value, f.offset(direct.pointer, place, self.scalar.scalar), mask)
