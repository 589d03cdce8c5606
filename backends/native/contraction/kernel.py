"""What every kernel function of a contraction begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from graphdl.record import record

from ..llvm import I64, PTR, Function, Module, Type, Value
from .interface import Axis, Epilogue, Operand, Parts
from .matrices import Store
from .quantity import Emitted, Shape
from .schedule import Schedule

PARAMETERS = (("args", PTR), ("begin", I64), ("end", I64))

Prepare = Callable[[Function], Parts]


def open_kernel(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> tuple[Function, Parts, Shape[Emitted]]:
    """A new `void name(ptr args, i64 begin, i64 end)`, the contraction's parts in it, and its sizes for formulas."""
    f = module.function(name, PARAMETERS)
    parts = _transposed(prepare(f), schedule) if schedule.transposed else prepare(f)
    return f, parts, Shape(Emitted(f, parts.batch), Emitted(f, parts.m), Emitted(f, parts.n), Emitted(f, parts.k))


def _transposed(parts: Parts, schedule: Schedule) -> Parts:
    """The same contraction with the roles of m and n exchanged."""
    left = parts.b if schedule.a.is_direct else _Expression(parts.b)
    return replace(parts, m=parts.n, n=parts.m, a=left, b=parts.a, epilogue=_TransposedEpilogue(parts.epilogue, schedule.scalar))


@record(slots=True)
class _Expression:
    """An operand that is to be packed although it could be read in place."""

    operand: Operand
    direct: None = None
    indexed: None = None

    def vector(self, f: Function, batch: Value, free: Value, k: Value, lanes: int, axis: Axis, mask: Value | None) -> Value:
        return self.operand.vector(f, batch, free, k, lanes, axis, mask)


@record(slots=True)
class _TransposedEpilogue:
    """An epilogue for the transposed output, which is given single elements."""

    epilogue: Epilogue
    scalar: Type
    direct: None = None
    arrays: int = 0

    def places(self, f: Function, batch: Value, m: Value, n: Value) -> list[Value]:
        return []

    def store(self, f: Function, batch: Value, m: Value, n: Value, value: Value, mask: Value | None) -> None:
        epilogue = Store(self.epilogue.direct, self.scalar) if self.epilogue.direct else self.epilogue
        epilogue.store(f, batch, n, m, value, mask)


def least(f: Function, x: Value, y: Value) -> Value:
    """The smaller of two signed numbers."""
    return f.intrinsic("smin", I64, x, y)


def split(f: Function, index: Value, count: Value) -> tuple[Value, Value]:
    """(index // count, index % count) of non-negative numbers."""
    quotient = f.emit(I64, f"udiv {index.typed}, {count.text}")
    return quotient, f.sub(index, f.mul(quotient, count))


def call_kernel(f: Function, kernel: Value, arguments: tuple[Value, ...]) -> None:
    """Call a micro-kernel."""
    f.void(f"call void {kernel.text}({', '.join(argument.typed for argument in arguments)})")
