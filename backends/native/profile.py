"""Timing every kernel of a program while it runs as always: same arena, same threads, with a clock read between launches."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphdl.errors import CallError
from graphdl.sizes import evaluate

from .codegen.entry import EntryWriter
from .codegen.launch import Launch
from .kernels import Kernel
from .llvm import I32, I64, Module, Value
from .report import Profile, Row
from .runtime.cache import cached_object, default_cache
from .runtime.checked import allocate
from .runtime.jit import load_object, load_objects
from .runtime.peak import known_peaks
from .units import compile_units, unit_text

if TYPE_CHECKING:
    from .executable import NativeProgram

Array = np.ndarray[Any, Any]
ENTRY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
MONOTONIC = 1  # clock_gettime's number of the monotonic clock on Linux
BUDGET = 0.5  # seconds of repetitions, unless their number is given
WARM = 2
LEAST, MOST = 5, 1000


class TimedEntry(EntryWriter):
    """An entry that adds the nanoseconds since the launch before to a launch's place in a table behind the arena, each time it runs."""

    name = "timed_entry"

    def write_launch(self, launch: Launch) -> None:
        if launch is self.launches[0]:
            self.marks = 0
            self.clock, self.before = self.f.alloca(I64, 2), self.f.alloca(I64, 1)
            with self.f.at(self.f.root):
                self.f.store(self._now(), self.before)
        super().write_launch(launch)
        self._mark()

    def _mark(self) -> None:
        f = self.f
        place = f.offset(self._pointer(self.pool_slot + 2), I64.const(self.marks), "i64")
        now = self._now()
        f.store(f.add(f.load(place, I64), f.sub(now, f.load(self.before, I64))), place)
        f.store(now, self.before)
        self.marks += 1

    def _now(self) -> Value:
        f = self.f
        self.module.declare("clock_gettime", "i32 @clock_gettime(i32, ptr)")
        f.call("clock_gettime", I32, I32.const(MONOTONIC), self.clock)
        seconds, rest = (f.load(f.offset(self.clock, I64.const(k), "i64"), I64) for k in range(2))
        return f.add(f.mul(seconds, I64.const(1_000_000_000)), rest)


class TimedProgram:
    """A native program with a timed entry beside its own."""

    def __init__(self, program: NativeProgram) -> None:
        self.program = program
        emitted, target = program.emitted, program.target
        module = Module(target_triple=target.triple, functions=dict(emitted.module.functions), declarations=dict(emitted.module.declarations))
        writer = TimedEntry(module, program.program, emitted.static, emitted.items, emitted.plan, program.size_names)
        writer.write_entry()
        text = unit_text(module, TimedEntry.name)
        self.functions = load_objects(_objects_of(program))
        self.loaded = load_object(cached_object(text, target), {name: self.functions.address(name) for name in emitted.module.functions})
        self.entry = ENTRY(self.loaded.address(TimedEntry.name))
        self.arena_bytes = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self.functions.address("arena_bytes"))
        self.launches = emitted.launches

    def prepare(self, arrays: Sequence[Array]) -> _Call:
        return _Call(self, arrays)


def _objects_of(program: NativeProgram) -> Sequence[bytes]:
    """The program's objects. Those from a file may be of another graphdl than what is emitted here for the timed entry."""
    return compile_units(program.emitted.module, program.target, default_cache(), program.signature.threads) if program.is_brought else program.objects


class _Call:
    """One set of inputs with everything a run needs, so that runs differ in nothing."""

    def __init__(self, timed: TimedProgram, arrays: Sequence[Array]) -> None:
        signature = timed.program.signature
        self.timed = timed
        self.sizes = timed.program.native.checked.sizes_of(arrays)
        outputs = [np.empty(signature.output_shape(spec, self.sizes), spec.dtype) for spec in signature.outputs]
        self.times = np.zeros(len(timed.launches), np.int64)
        memory, arena = allocate(int(timed.arena_bytes(self.sizes)))
        self.held = [*arrays, *outputs, memory]
        addresses = [array.ctypes.data for array in (*arrays, *outputs)]
        every = [*addresses, *signature.static, arena, self.times.ctypes.data]
        self.pointers = (ctypes.c_int64 * len(every))(*every)
        self.threads = signature.threads

    def run(self) -> Array:
        """The times before the first launch and after every one, in nanoseconds; the rounds of a launch in a loop are put together."""
        self.times[:] = 0
        status = self.timed.entry(self.pointers, self.sizes, self.threads)
        if status:
            self.timed.program.signature.failed(status)
        times: Array = np.concatenate([[0], np.cumsum(self.times)])
        return times


def profile(program: NativeProgram, arrays: Sequence[Array], repeat: int | None = None) -> Profile:
    """Run the program on `arrays` as often as half a second allows, or `repeat` times, and report the mean of every kernel over the quicker half.

    Means, unlike medians, add up to the time of the whole; the slower half of the runs is where others had the processor.
    Parameters that the program updates hold their old values again afterwards. Raises CallError if `repeat` is no positive number.
    """
    if repeat is not None and repeat < 1:
        raise CallError(f"repeat is at least 1, not {repeat}")
    saved = [(tensor.value, tensor.value.copy()) for tensor in program.compilation.declared.updated]
    try:
        marks, whole = _measure(program, arrays, repeat)
    finally:
        for array, before in saved:
            np.copyto(array, before)
    spent = np.diff(marks, axis=1)
    sizes = program.compilation.signature.bind(arrays)
    peaks = known_peaks(program.target, program.signature.threads)
    quicker = (len(spent) + 1) // 2
    order = np.argsort(spent.sum(axis=1))[:quicker]
    rows = [_row(kernel, float(time), sizes) for kernel, time in zip(program.kernels, spent[order].mean(axis=0) * 1e-9, strict=True)]
    middle, call = order[-1], float(np.mean(np.sort(whole)[:quicker]))
    return Profile(tuple(rows), call, peaks, len(marks), tuple((marks[middle] - marks[middle, 0]).tolist()))


def _row(kernel: Kernel, time: float, sizes: Mapping[str, int]) -> Row:
    tasks = evaluate(kernel.tasks, sizes)
    flops, moved = (evaluate(amount, sizes) if tasks else 0 for amount in (kernel.flops, kernel.bytes))
    return Row(kernel, time, flops, moved, tasks)


def _measure(program: NativeProgram, arrays: Sequence[Array], repeat: int | None) -> tuple[Array, list[float]]:
    """The marks of every timed run, and the seconds of plain calls made between them."""
    call = TimedProgram(program).prepare(arrays)
    marks: list[Array] = []
    whole: list[float] = []
    end = time.perf_counter() + BUDGET
    while len(marks) < (repeat or LEAST) + WARM or (repeat is None and time.perf_counter() < end and len(marks) < MOST):
        marks.append(call.run())
        begin = time.perf_counter()
        program.run(arrays)
        whole.append(time.perf_counter() - begin)
    return np.array(marks[WARM:]), whole[WARM:]
