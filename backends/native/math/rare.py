"""Cold code beside a straight line: computed only when some lane asks for it, lane by lane, in a function of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..llvm import F64, I64, PTR, Function, Type, Value
from .expression import Mask

Emit = Callable[[Function, Value, Value], tuple[Value, Value]]


def lanewise(name: str, asked: Mask, first: Value, second: Value, usual: tuple[Value, Value], emit: Emit) -> tuple[Value, Value]:
    """`usual`, but if any lane is `asked`, those lanes of emit(first, second).

    `emit` writes the scalar code over two operands and two results, all of 64 bits and of the types of `first` and `second`. It
    becomes the internal function `name`, once per module, which loops over the lanes in memory.
    """
    f, lanes = asked.f, asked.value.type.lanes
    block = f.fresh("R")
    buffers = [f.alloca(first.type.with_lanes(0), max(lanes, 1)), f.alloca(second.type.with_lanes(0), max(lanes, 1))]
    _define(f, name, first.type.scalar, second.type.scalar, emit)
    f.branch(f"{block}.usual")
    f.label(f"{block}.usual")
    f.branch_if(asked.any(), f"{block}.rare", f"{block}.end")
    f.label(f"{block}.rare")
    for buffer, value in zip(buffers, (first, second), strict=True):
        f.store(value, buffer)
    f.call(name, None, *buffers, I64.const(max(lanes, 1)))
    rare = [f.select(asked.value, f.load(buffer, value.type), value) for buffer, value in zip(buffers, usual, strict=True)]
    f.branch(f"{block}.end")
    f.label(f"{block}.end")
    return _joined(f, block, usual[0], rare[0]), _joined(f, block, usual[1], rare[1])


def _joined(f: Function, block: str, usual: Value, rare: Value) -> Value:
    return f.emit(usual.type, f"phi {usual.type.text} [ {usual.text}, %{block}.usual ], [ {rare.text}, %{block}.rare ]")


def _define(caller: Function, name: str, first: str, second: str, emit: Emit) -> None:
    if name in caller.module.functions:
        return
    f = caller.module.function(name, [("first", PTR), ("second", PTR), ("lanes", I64)], linkage="internal", attributes="noinline cold")
    addresses, types = f.parameters[:2], (Type(first), Type(second))
    with f.loop(I64.const(0), f.parameters[2]) as loop:
        places = [f.offset(address, loop.index, type.scalar) for address, type in zip(addresses, types, strict=True)]
        results = emit(f, *(f.load(place, type) for place, type in zip(places, types, strict=True)))
        for place, result in zip(places, results, strict=True):
            f.store(result, place)
    f.ret()
