"""The table of offsets through which an operand is read in place: one entry for every k, and some more for what is fetched ahead."""

from __future__ import annotations

from ..llvm import I64, Module
from .kernel import Prepare, least, open_kernel
from .schedule import AHEAD, TABLE_BLOCK, Schedule


def index_b(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> str:
    """Emit the kernel that writes the offsets of B; a task is one block of them. Those past the end repeat the last one."""
    f, parts, _ = open_kernel(module, schedule, name, prepare)
    indexed = parts.b.indexed
    assert indexed is not None
    assert parts.packed_b is not None
    first = f.mul(f.parameters[1], I64.const(TABLE_BLOCK))
    last = least(f, f.mul(f.parameters[2], I64.const(TABLE_BLOCK)), f.add(parts.k, I64.const(AHEAD)))
    with f.loop(first, last) as loop:
        k = f.intrinsic("smax", I64, least(f, loop.index, f.sub(parts.k, I64.const(1))), I64.const(0))
        f.store(indexed.offset(k), f.offset(parts.packed_b, loop.index, "i64"))
    f.ret()
    return name
