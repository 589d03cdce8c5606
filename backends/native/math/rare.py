"""Cold code beside a straight line: run only when some lane asks for it, lane by lane, in a function of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..llvm import I64, PTR, Function, Value
from .expression import Mask


def rarely(asked: Mask, usual: Sequence[Value], compute: Callable[[], Sequence[Value]]) -> list[Value]:
    """`usual`, with the lanes that are `asked` replaced by those of compute(), which runs only if there is one."""
    f = asked.f
    block = f.fresh("R")
    f.branch(f"{block}.usual")
    f.label(f"{block}.usual")
    f.branch_if(asked.any(), f"{block}.rare", f"{block}.end")
    f.label(f"{block}.rare")
    merged = [f.select(asked.value, rare, value) for rare, value in zip(compute(), usual, strict=True)]
    f.branch(f"{block}.last")
    f.label(f"{block}.last")
    f.branch(f"{block}.end")
    f.label(f"{block}.end")
    return [
        f.emit(value.type, f"phi {value.type.text} [ {value.text}, %{block}.usual ], [ {rare.text}, %{block}.last ]")
        for value, rare in zip(usual, merged, strict=True)
    ]


def call_lanewise(f: Function, name: str, operands: Sequence[Value], emit: Callable[..., Sequence[Value]]) -> list[Value]:
    """Results of emit(function, *scalars) for every lane, as many as there are operands and of their types.

    The scalar code becomes the internal function `name`, once per module: it loops over lanes in memory, so that its size does
    not grow with them.
    """
    lanes = max(operands[0].type.lanes, 1)
    if name not in f.module.functions:
        _define(f, name, operands, emit)
    buffers = [f.alloca(operand.type.with_lanes(0), lanes) for operand in operands]
    for buffer, operand in zip(buffers, operands, strict=True):
        f.store(operand, buffer)
    f.call(name, None, *buffers, I64.const(lanes))
    return [f.load(buffer, operand.type) for buffer, operand in zip(buffers, operands, strict=True)]


def _define(caller: Function, name: str, operands: Sequence[Value], emit: Callable[..., Sequence[Value]]) -> None:
    types = [operand.type.with_lanes(0) for operand in operands]
    parameters = [(f"x{k}", PTR) for k in range(len(types))]
    f = caller.module.function(name, [*parameters, ("lanes", I64)], linkage="internal", attributes="noinline cold")
    with f.loop(I64.const(0), f.parameters[-1]) as loop:
        places = [f.offset(address, loop.index, type.scalar) for address, type in zip(f.parameters[:-1], types, strict=True)]
        results = emit(f, *(f.load(place, type) for place, type in zip(places, types, strict=True)))
        for place, result in zip(places, results, strict=True):
            f.store(result, place)
    f.ret()
