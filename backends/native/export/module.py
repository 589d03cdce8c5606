"""The public functions of an exported program, and the module in which everything else is internal.

They lead from C's arguments to the program's own entry: sizes and addresses go into tables on the stack. No optimiser runs over
the module, so that the kernels are those of a program in this process, to the bit.
"""

from __future__ import annotations

import re

from graphdl.kernel.expression import Buffer

from .. import status
from ..codegen.program import Emitted
from ..llvm import I64, PTR, Function, Module, Value
from ..runtime.pool import emit_pool
from .interface import BAD_SIZE, BROKEN_EQUALITY, Interface, bytes_of

_NAME = re.compile(r"@([A-Za-z_][\w.]*)")
SERIAL = "serial"


def write_module(emitted: Emitted, interface: Interface, data_layout: str) -> str:
    """The whole program as LLVM IR; public are the functions that the header declares, and with threads the pool."""
    module = emitted.module
    module.data_layout = data_layout
    for function in module.functions.values():
        function.linkage = "internal"
    if interface.threads:
        emit_pool(module, linkage="weak")
    else:
        _write_serial(module)
    _write_static(emitted, interface)
    private = {*module.functions, *module.globals} - {"gd_pool_run"}
    body = _NAME.sub(lambda found: f"@.{interface.name}.{found[1]}" if found[1] in private else found[0], str(module))
    return body + _public_functions(emitted, interface)


def _write_serial(module: Module) -> None:
    """What stands in for the pool: all tasks of a kernel, here and now."""
    f = module.function(SERIAL, [("kernel", PTR), ("args", PTR), ("tasks", I64), ("threads", I64)], None, "internal")
    kernel, args, tasks, _ = f.parameters
    f.void(f"call void {kernel.text}({args.typed}, i64 0, {tasks.typed})")
    f.ret()


def _write_static(emitted: Emitted, interface: Interface) -> None:
    """Constants, and parameters if they are baked in, as data."""
    slots = {slot.buffer: slot for slot in interface.block} if interface.baked else {}
    for position, buffer in enumerate(emitted.static):
        if buffer in slots or buffer.kind == "constant":
            kind = "global" if buffer in interface.updated else "constant"
            data = bytes_of(buffer)
            emitted.module.globals[_static_name(position)] = f"@{_static_name(position)} = internal {kind} [{len(data)} x i8] {_literal(data)}, align 64"


def _static_name(position: int) -> str:
    return f"static_{position}"


def _literal(data: bytes) -> str:
    return f'c"{_escaped(data)}"' if data.strip(b"\0") else "zeroinitializer"


def _escaped(data: bytes) -> str:
    text = data.hex().upper()
    return "".join(f"\\{text[place : place + 2]}" for place in range(0, len(text), 2))
