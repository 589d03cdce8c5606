"""What this machine can do at most, measured: floating-point operations in registers, and bytes through memory.

Every figure is the best of several runs, so a busy machine shows less than it can do, never more.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import json
import platform
import time
from collections.abc import Callable

import numpy as np

from graphdl.backends.native.llvm import F32, F64, I64, PTR, Function, Module, Type, Value
from graphdl.backends.native.runtime.cache import cached_object, default_cache, key_of
from graphdl.backends.native.runtime.jit import Loaded, load_object
from graphdl.backends.native.runtime.pool import pool_address
from graphdl.backends.native.target import Target
from graphdl.record import record

_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_ITERATIONS = 200_000
_UNROLLED = 8  # vectors moved per step of a streaming loop
_BUDGET = 0.25  # seconds per figure


@record(slots=True)
class Peaks:
    """Operations and bytes per second of so many threads together. A fused multiply-add is two operations; a copied byte is two bytes."""

    threads: int
    fma_flops_f32: float
    fma_flops_f64: float
    copy_bytes_per_second: float
    copy_is_nontemporal: bool
    read_bytes_per_second: float


@functools.cache
def measure_peaks(target: Target, threads: int) -> Peaks:
    """Measure, in less than 2 seconds; `target` must be able to run here. Raises BackendError if its code cannot be made or loaded."""
    module = Module(target_triple=target.triple)
    flops = {type: _emit_fma(module, target, type) for type in (F32, F64)}
    step = _emit_read(module, target)
    for nontemporal in (False, True):
        _emit_copy(module, target, nontemporal)
    loaded = load_object(cached_object(str(module), target))

    cells = np.zeros((threads + 1) * 8, np.int64)
    rate = {type: threads * flops[type] / _best(_job(loaded, f"fma_{type.scalar}", cells, threads, threads)) for type in flops}
    size = max(3 * target.l3, 64 << 20) // step * step
    memory = np.ones(2 * size + 64, np.uint8)  # written here, so that every page exists
    first = -(-memory.ctypes.data // 64) * 64
    arrays = np.array([first, first + size], np.int64)
    moving = {name: _best(_job(loaded, name, arrays, size // step, threads)) for name in ("read", "copy", "copy_nontemporal")}
    copying = min(moving["copy"], moving["copy_nontemporal"])
    return Peaks(threads, rate[F32], rate[F64], 2 * size / copying, moving["copy_nontemporal"] < moving["copy"], size / moving["read"])


@functools.cache
def known_peaks(target: Target, threads: int) -> Peaks:
    """The peaks as measured at some time on such a processor, by this process or an earlier one: see the object cache."""
    cache, key = default_cache(), key_of("peaks", platform.node(), str(threads), repr(target), target=target)
    data = cache.get(key)
    if data is not None:
        with contextlib.suppress(ValueError, TypeError):
            return Peaks(**json.loads(data))
    peaks = measure_peaks(target, threads)
    cache.put(key, json.dumps(dataclasses.asdict(peaks)).encode())
    return peaks


def _job(loaded: Loaded, name: str, args: np.ndarray[tuple[int], np.dtype[np.int64]], tasks: int, threads: int) -> Callable[[], None]:
    run, kernel, address = _RUN(pool_address()), loaded.address(name), args.ctypes.data
    return lambda: run(kernel, address, tasks, threads)


def _best(job: Callable[[], None]) -> float:
    """Seconds of the fastest run within the budget."""
    best, end = float("inf"), time.perf_counter() + _BUDGET
    while True:
        start = time.perf_counter()
        job()
        now = time.perf_counter()
        best = min(best, now - start)
        if now >= end:
            return best


def _kernel(module: Module, name: str) -> Function:
    return module.function(name, [("args", PTR), ("begin", I64), ("end", I64)])


def _emit_fma(module: Module, target: Target, scalar: Type) -> int:
    """As many independent chains as registers hold, so that latency does not matter. Returns the operations of a task."""
    f = _kernel(module, f"fma_{scalar.scalar}")
    args, begin, end = f.parameters
    vector = target.vector(scalar)
    chains = [vector.const(k) for k in range(target.vector_registers * 3 // 4)]
    factor, term = f.load(args, vector), f.load(f.offset(args, I64.const(1), "i64"), vector)
    with f.loop(begin, end) as task:
        with f.loop(I64.const(0), I64.const(_ITERATIONS), carried=chains) as loop:
            loop.next[:] = [f.fma(chain, factor, term) for chain in loop.carried]
        total = functools.reduce(f.add, loop.carried)
        f.store(f.extract(total, 0) if vector.lanes else total, f.offset(args, f.mul(f.add(task.index, I64.const(1)), I64.const(8)), "i64"))
    f.ret()
    return 2 * _ITERATIONS * len(chains) * max(vector.lanes, 1)


def _emit_read(module: Module, target: Target) -> int:
    """Load every byte once, and use it. Returns the bytes of a task."""
    f = _kernel(module, "read")
    args, begin, end = f.parameters
    vector, source = target.vector(I64), f.load(args, PTR)
    with f.loop(begin, end, carried=[vector.const(0)] * _UNROLLED) as loop:
        start = f.mul(loop.index, I64.const(_UNROLLED * max(vector.lanes, 1)))
        loop.next[:] = [f.bit_or(seen, f.load(_part(f, source, start, vector, k), vector)) for k, seen in enumerate(loop.carried)]
    total = functools.reduce(f.bit_or, loop.carried)
    f.store(total, f.alloca(vector, 1))
    f.ret()
    return _UNROLLED * target.vector_bytes


def _emit_copy(module: Module, target: Target, nontemporal: bool) -> None:
    f = _kernel(module, "copy_nontemporal" if nontemporal else "copy")
    args, begin, end = f.parameters
    vector = target.vector(I64)
    source, destination = f.load(args, PTR), f.load(f.offset(args, I64.const(1), "i64"), PTR)
    module.globals["nontemporal"] = "!0 = !{i32 1}"
    hint = ", !nontemporal !0" if nontemporal else ""
    with f.loop(begin, end) as loop:
        start = f.mul(loop.index, I64.const(_UNROLLED * max(vector.lanes, 1)))
        for k, value in enumerate([f.load(_part(f, source, start, vector, k), vector) for k in range(_UNROLLED)]):
            f.void(f"store {value.typed}, ptr {_part(f, destination, start, vector, k).text}, align {target.vector_bytes}{hint}")
    f.fence()
    f.ret()


def _part(f: Function, base: Value, start: Value, vector: Type, k: int) -> Value:
    return f.offset(base, f.add(start, I64.const(k * max(vector.lanes, 1))), "i64")
