"""Linux system calls in LLVM IR, and the futex made of them: sleeping until a word in memory changes."""

from __future__ import annotations

from collections.abc import Sequence

from graphdl.backends.native.llvm import I32, I64, PTR, Function, Module, Value
from graphdl.record import record

_WAIT, _WAKE = I64.const(128), I64.const(129)  # the variants for one process


@record(slots=True)
class SystemCalls:
    """Numbers of the system calls of one Linux architecture."""

    futex: int
    signal_mask: int
    affinity: int


LINUX = {"x86_64": SystemCalls(202, 14, 204), "aarch64": SystemCalls(98, 135, 123), "riscv64": SystemCalls(98, 135, 123)}


def system_call(f: Function, number: int, arguments: Sequence[Value]) -> Value:
    """Call number `number` through libc's `syscall`."""
    f.module.declare("syscall", "i64 @syscall(i64, ...)")
    return f.emit(I64, f"call i64 (i64, ...) @syscall({', '.join(a.typed for a in (I64.const(number), *arguments))})")


def emit_futex(module: Module, calls: SystemCalls) -> None:
    """Add `gd_futex_wait(word, value)`, which may also return early, and `gd_futex_wake(word)`, which wakes one sleeper."""
    f = module.function("gd_futex_wait", [("word", PTR), ("value", I32)], None, "internal", "noinline")
    word, value = f.parameters
    system_call(f, calls.futex, [word, _WAIT, f.convert("zext", value, I64), PTR.const(0), PTR.const(0), I64.const(0)])
    f.ret()
    f = module.function("gd_futex_wake", [("word", PTR)], None, "internal", "noinline")
    system_call(f, calls.futex, [f.parameters[0], _WAKE, I64.const(1), PTR.const(0), PTR.const(0), I64.const(0)])
    f.ret()
