"""What every kernel function of a contraction begins with."""

from __future__ import annotations

from collections.abc import Callable

from ..llvm import I64, PTR, Function, Module, Value
from .interface import Parts
from .schedule import Emitted, Shape

PARAMETERS = (("args", PTR), ("begin", I64), ("end", I64))

Prepare = Callable[[Function], Parts]


def open_kernel(module: Module, name: str, prepare: Prepare) -> tuple[Function, Parts, Shape[Emitted]]:
    """A new `void name(ptr args, i64 begin, i64 end)`, the contraction's parts in it, and its sizes for formulas."""
    f = module.function(name, PARAMETERS)
    parts = prepare(f)
    return f, parts, Shape(Emitted(f, parts.batch), Emitted(f, parts.m), Emitted(f, parts.n), Emitted(f, parts.k))


def least(f: Function, x: Value, y: Value) -> Value:
    return f.intrinsic("smin", I64, x, y)


def split(f: Function, index: Value, count: Value) -> tuple[Value, Value]:
    """(index // count, index % count) of non-negative numbers."""
    quotient = f.emit(I64, f"udiv {index.typed}, {count.text}")
    return quotient, f.sub(index, f.mul(quotient, count))
