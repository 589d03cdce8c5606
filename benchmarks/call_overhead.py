"""What a call of a compiled program costs from Python, besides the program's own work.

python benchmarks/call_overhead.py
"""

from __future__ import annotations

import timeit
from dataclasses import replace
from typing import Any

import numpy as np

from graphdl.backends.native.llvm import F32, I64, PTR, Module
from graphdl.backends.native.runtime import jit
from graphdl.backends.native.runtime.call import NativeCall
from graphdl.backends.native.runtime.checked import CheckedCall
from graphdl.backends.native.runtime.signature import ArraySpec, Signature
from graphdl.backends.native.target import host


def double(outputs: int) -> Signature:
    """`y = 2*x` for x: float32[N], into the first of so many outputs."""
    module = Module(target_triple=host().triple)
    f = module.function("double", [("pointers", PTR), ("sizes", PTR), ("threads", I64)], I64)
    x, y = (f.load(f.offset(f.parameters[0], I64.const(k), "ptr"), PTR) for k in range(2))
    with f.loop(I64.const(0), f.load(f.parameters[1], I64)) as loop:
        value = f.load(f.offset(x, loop.index, "float"), F32)
        f.store(f.add(value, value), f.offset(y, loop.index, "float"))
    f.ret(I64.const(0))
    loaded = jit.load_object(jit.compile_object(str(module), host()))
    dtype = np.dtype(np.float32)
    specs = tuple(ArraySpec(f"y{k}", dtype, ("N",)) for k in range(outputs))
    return Signature(loaded.address("double"), (ArraySpec("x", dtype, ("N",)),), specs, gathered, owners=(loaded,))


def gathered(arguments: tuple[object, ...], keywords: dict[str, object]) -> list[np.ndarray[Any, Any]]:
    """What the slow way makes of a call's arguments."""
    return [np.ascontiguousarray(value) for value in (*arguments, *keywords.values())]


def nanoseconds(statement: str, names: dict[str, object]) -> float:
    timer = timeit.Timer(statement, globals=names)
    count = max(timer.autorange()[0] // 4, 1)
    return min(timer.repeat(9, count)) / count * 1e9


def main() -> None:
    x = np.ones(4, np.float32)
    one, five = double(1), double(5)
    rows = {
        "np.add(x, x)": ("np.add(x, x)", {"np": np, "x": x}),
        "np.empty(4, float32)": ("np.empty(4, t)", {"np": np, "t": np.dtype(np.float32)}),
        "1 output, GIL released": ("f(x)", {"f": NativeCall(one).call, "x": x}),
        "1 output, GIL kept": ("f(x)", {"f": NativeCall(replace(one, release_gil=False)).call, "x": x}),
        "5 outputs, GIL released": ("f(x)", {"f": NativeCall(five).call, "x": x}),
        "1 output, by keyword": ("f(x=x)", {"f": NativeCall(one).call, "x": x}),
        "1 output, a strided input (checked in Python)": ("f(s)", {"f": NativeCall(one).call, "s": np.ones(8, np.float32)[::2]}),
        "1 output, no stub at all": ("f(x)", {"f": CheckedCall(one), "x": x}),
    }
    for name, (statement, names) in rows.items():
        print(f"{name:46} {nanoseconds(statement, names):8.0f} ns")


if __name__ == "__main__":
    main()
