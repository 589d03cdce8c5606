"""The public functions of an exported program, and the module in which everything else is internal.

They lead from C's arguments to the program's own entry: sizes and addresses go into tables on the stack. No optimiser runs over
the module, so that the kernels are those of a program in this process, to the bit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import status
from ..codegen.program import Emitted
from ..llvm import I64, PTR, Function, Module, Value
from ..runtime.pool import emit_pool
from .interface import ALIGNMENT, BAD_SIZE, BROKEN_EQUALITY, Interface, bytes_of
from .wide import NAME, write_wide_product

_NAME = re.compile(r"@([A-Za-z_][\w.]*)")
SERIAL = "serial"
BACKSLASH = "\\"
SHARED = {"gd_pool_run", NAME}  # weak: one of each for all exported programs that are linked together


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
    if module.target_triple.startswith("wasm") and "i128" in str(module):
        write_wide_product(module)
    private = {*module.functions, *module.globals} - SHARED
    body = _NAME.sub(lambda found: f"@{interface.name}.{found[1]}" if found[1] in private else found[0], str(module))
    return body + _public_functions(emitted, interface)


def _write_serial(module: Module) -> None:
    """What stands in for the pool: all tasks of a kernel, here and now."""
    f = module.function(SERIAL, [("kernel", PTR), ("args", PTR), ("tasks", I64), ("threads", I64)], None, "internal")
    kernel, args, tasks, _ = f.parameters
    f.void(f"call void {kernel.text}({args.typed}, i64 0, {tasks.typed})")
    f.ret()


def _write_static(module: Module, emitted: Emitted, interface: Interface) -> None:
    """Constants, and parameters if they are baked in, as data."""
    slots = {slot.buffer: slot for slot in interface.block} if interface.baked else {}
    for position, buffer in enumerate(emitted.static):
        if buffer in slots or buffer.kind == "constant":
            name = _static(interface, position)
            module.globals[name] = _data(name, "global" if buffer in interface.updated else "constant", bytes_of(buffer), ALIGNMENT)


def _static(interface: Interface, position: int) -> str:
    return f"{interface.name}.static_{position}"


def _data(name: str, kind: str, data: bytes, alignment: int) -> str:
    literal = f'c"\\{data.hex(BACKSLASH)}"' if any(data) else "zeroinitializer"
    return f"@{name} = internal {kind} [{len(data)} x i8] {literal}, align {alignment}"


def _public_functions(emitted: Emitted, interface: Interface) -> str:
    """`name`, `name_error` and, where the arena's size depends on sizes, `name_arena_bytes`; without the head of a module."""
    module = Module(emitted.module.target_triple)
    _write_static(module, emitted, interface)
    _write_call(module, emitted, interface)
    if interface.arena is None:
        f = module.function(f"{interface.name}_arena_bytes", [(name, I64) for _, name in interface.sizes], I64)
        f.ret(_called(f, interface, "arena_bytes", _table(f, f.parameters)))
    _write_error(module, interface)
    return "\n".join([*module.globals.values(), *map(str, module.functions.values()), ""])


def _write_call(module: Module, emitted: Emitted, interface: Interface) -> None:
    pointers = [argument.name for argument in (*interface.inputs, *interface.outputs)]
    ends = ["parameters"] * interface.takes_parameters + ["arena"]
    counts = ["threads"] * interface.threads
    names = [*(name for _, name in interface.sizes), *pointers, *ends, *counts]
    f = module.function(interface.name, [(name, PTR if name in (*pointers, *ends) else I64) for name in names], I64)
    given = dict(zip(names, f.parameters, strict=True))
    sizes = [given[name] for _, name in interface.sizes]
    table = _table(f, sizes)
    _write_checks(f, emitted, interface, sizes, table)
    static = [_static_address(f, emitted, interface, position, given) for position in range(len(emitted.static))]
    pool = Value("@gd_pool_run" if interface.threads else f"@{interface.name}.{SERIAL}", PTR)
    addresses = _table(f, [*(given[name] for name in pointers), *static, pool, given["arena"]])
    f.ret(_called(f, interface, "entry", addresses, table, given.get("threads", I64.const(1))))


def _static_address(f: Function, emitted: Emitted, interface: Interface, position: int, given: dict[str, Value]) -> Value:
    """Where a parameter lies in the caller's block, or where the data of a constant lies."""
    offsets = {slot.buffer: slot.offset for slot in interface.block}
    buffer = emitted.static[position]
    if buffer in offsets and interface.takes_parameters:
        return f.offset(given["parameters"], I64.const(offsets[buffer]), "i8")
    return Value(f"@{_static(interface, position)}", PTR)


def _write_checks(f: Function, emitted: Emitted, interface: Interface, sizes: list[Value], table: Value) -> None:
    """Return at once for sizes that are negative or that break an equality."""
    for size in sizes:
        _return_if(f, f.compare("slt", size, I64.const(0)), I64.const(BAD_SIZE))
    if "shapes" not in emitted.module.functions:
        return
    broken = _called(f, interface, "shapes", table, f.alloca(I64, 1))
    told = f.sub(I64.const(BROKEN_EQUALITY + status.BROKEN_EQUALITY), broken)
    _return_if(f, f.compare("ne", broken, I64.const(0)), told)


def _return_if(f: Function, condition: Value, value: Value) -> None:
    stop, go_on = f.fresh("stop"), f.fresh("on")
    f.branch_if(condition, stop, go_on)
    f.label(stop)
    f.ret(value)
    f.label(go_on)


def _called(f: Function, interface: Interface, name: str, *arguments: Value) -> Value:
    result = f.call(f"{interface.name}.{name}", I64, *arguments)
    assert result is not None
    return result


def _table(f: Function, values: Sequence[Value]) -> Value:
    """An array of these values on the stack."""
    type = values[0].type if values else I64
    table = f.alloca(type, max(len(values), 1), 8)
    for position, value in enumerate(values):
        f.store(value, f.offset(table, I64.const(position), type.scalar))
    return table


def _write_error(module: Module, interface: Interface) -> None:
    f = module.function(f"{interface.name}_error", [("status", I64)], PTR)
    messages = {0: "", **interface.messages}
    told = _text(module, interface, "unknown", "no status of this program")
    for number, (value, message) in enumerate(messages.items()):
        told = f.select(f.compare("eq", f.parameters[0], I64.const(value)), _text(module, interface, str(number), message), told)
    f.ret(told)


def _text(module: Module, interface: Interface, key: str, text: str) -> Value:
    name = f"{interface.name}.text_{key}"
    module.globals[name] = _data(name, "constant", text.encode() + b"\0", 1)
    return Value(f"@{name}", PTR)
