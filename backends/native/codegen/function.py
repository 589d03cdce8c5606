"""Kernel functions: `void name(ptr args, i64 begin, i64 end)`, where `args` is an array of 8-byte slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graphdl.kernel.expression import Buffer

from ..llvm import I64, PTR, Function, Module, Scope, Value
from ..target import Target
from .emitter import Emitter

PARAMETERS = (("args", PTR), ("begin", I64), ("end", I64))


@dataclass
class Arguments:
    """The slots of a kernel's `args`, given out as the kernel asks for them."""

    buffers: dict[Buffer, int] = field(default_factory=dict)
    symbols: dict[str, int] = field(default_factory=dict)

    def of_buffer(self, buffer: Buffer) -> int:
        return self.buffers.setdefault(buffer.storage, len(self))

    def of_symbol(self, name: str) -> int:
        return self.symbols.setdefault(name, len(self))

    def renamed(self, buffers: Mapping[Buffer, Buffer], symbols: Mapping[str, str]) -> Arguments:
        """The same slots for other buffers and symbols; what is not named stays."""
        held = {buffers.get(buffer, buffer): slot for buffer, slot in self.buffers.items()}
        return Arguments(held, {symbols.get(name, name): slot for name, slot in self.symbols.items()})

    def __len__(self) -> int:
        return len(self.buffers) + len(self.symbols) + 1  # slot 0 is the program's status word


class KernelFunction:
    """One kernel function being written, with its arguments loaded at the top as they are asked for."""

    def __init__(self, module: Module, target: Target, name: str) -> None:
        self.arguments = Arguments()
        self.f = module.function(name, PARAMETERS)
        self.emitter = open_emitter(self.f, target, self.arguments)

    @property
    def begin(self) -> Value:
        return self.f.parameters[1]

    @property
    def end(self) -> Value:
        return self.f.parameters[2]


def open_emitter(f: Function, target: Target, arguments: Arguments) -> Emitter:
    """An emitter for a kernel function whose first parameter is `args`."""
    args = f.parameters[0]
    head = Scope()
    f.scope.lines.append(head)  # argument loads come first of all, whenever they are asked for

    def slot(key: object, index: int, pointer: bool) -> Value:
        if key not in head.memo:
            with f.at(head):
                head.memo[key] = f.load(f.offset(args, I64.const(index), "i64"), PTR if pointer else I64)
        return head.memo[key]

    def report(bad: Value, site: int) -> None:
        """Where `bad` holds, the kernel ends: nothing is read or written after an index was found out of range."""
        status = slot("status", 0, True)
        stop, go_on = f.fresh("stop"), f.fresh("on")
        f.branch_if(bad, stop, go_on)
        f.label(stop)
        f.store(I64.const(site + 1), status)
        f.ret()
        f.label(go_on)

    return Emitter(
        f,
        target,
        pointer=lambda buffer: slot(buffer.storage, arguments.of_buffer(buffer), True),
        symbol=lambda name: slot(name, arguments.of_symbol(name), False),
        report=report,
    )
