"""Speed of the contraction engine on plain matrix products, against the processor's peak and PyTorch.

    python benchmarks/contraction.py --shapes 512x512x512,100x784x256 --layout nn --threads 1,2

A shape is MxKxN. A layout letter is `n` for a row-major operand (A: M x K, B: K x N) and `t` for its transpose.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Self

import llvmlite.binding as llvm
import numpy as np

from graphdl.backends.native.contraction import Contraction, Direct, Known, Matrix, Parts, Schedule, Shape, Store, Traits, emit_contraction, plan
from graphdl.backends.native.llvm import F32, F64, I64, PTR, Function, Module, Type, Value
from graphdl.backends.native.target import Target, host

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
SLOTS = ("a", "b", "c", "packed_a", "packed_b", "batch", "m", "n", "k")


def slot(f: Function, name: str) -> Value:
    address = f.offset(f.parameters[0], I64.const(SLOTS.index(name)), "i64")
    return f.load(address, PTR if SLOTS.index(name) < 5 else I64)


def prepare(f: Function, scalar: Type, layout: str, known: Known) -> Parts:
    """Row-major operands of the given layout and a plain store."""
    one = I64.const(1)
    sizes = {name: getattr(known, name) for name in ("batch", "m", "n", "k")}
    batch, m, n, k = (slot(f, name) if size is None else I64.const(size) for name, size in sizes.items())
    a_strides = (k, one) if layout[0] == "n" else (one, m)
    b_strides = (one, n) if layout[1] == "n" else (k, one)
    a = Matrix(Direct(slot(f, "a"), *a_strides, f.mul(m, k)), scalar, "k" if layout[0] == "n" else "mn")
    b = Matrix(Direct(slot(f, "b"), *b_strides, f.mul(k, n)), scalar, "mn" if layout[1] == "n" else "k")
    c = Store(Direct(slot(f, "c"), n, one, f.mul(m, n)), scalar)
    return Parts(batch, m, n, k, a, b, c, slot(f, "packed_a"), slot(f, "packed_b"))


def compile_module(module: Module, target: Target) -> tuple[llvm.ExecutionEngine, float]:
    """The module's code, and the seconds that LLVM took for it."""
    began = time.perf_counter()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(cpu=target.cpu, features=target.features, opt=2, reloc="pic")
    parsed = llvm.parse_assembly(str(module))
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    llvm.create_pass_builder(machine, options).getModulePassManager().run(parsed, llvm.create_pass_builder(machine, options))
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return engine, time.perf_counter() - began


@dataclass
class Compiled:
    """A compiled contraction with its schedule."""

    schedule: Schedule
    names: Contraction
    engine: llvm.ExecutionEngine
    seconds: float


def compile_contraction(target: Target, scalar: Type, layout: str, known: Known) -> Compiled:
    a = Traits("k" if layout[0] == "n" else "mn", is_direct=True)
    b = Traits("mn" if layout[1] == "n" else "k", is_direct=True)
    schedule = Schedule.choose(target, scalar, a, b, known)
    module = Module(target.triple)
    names = emit_contraction(module, schedule, "product", lambda f: prepare(f, scalar, layout, known))
    engine, seconds = compile_module(module, target)
    return Compiled(schedule, names, engine, seconds)


class Team:
    """A second thread that spins in native code and runs its share of every kernel, as a compiled program's own pool would."""

    def __init__(self, target: Target) -> None:
        parsed = llvm.parse_assembly(FORK_JOIN)
        machine = llvm.Target.from_triple(target.triple).create_target_machine(cpu=target.cpu, features=target.features, opt=2, reloc="pic")
        self.engine = llvm.create_mcjit_compiler(parsed, machine)
        self.engine.finalize_object()
        self.box = np.zeros(16, np.int64)
        self.work = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.engine.get_function_address("worker"))
        self.fork_join = ctypes.CFUNCTYPE(None, ctypes.c_void_p, *[ctypes.c_int64] * 4)(self.engine.get_function_address("fork_join"))
        self.address = self.box.ctypes.data

    def run(self, kernel: int, arguments: int, tasks: int) -> None:
        self.fork_join(self.address, kernel, arguments, (tasks + 1) // 2, tasks)

    def __enter__(self) -> Self:
        self.box[:] = 0
        self.thread = threading.Thread(target=self.work, args=(self.address,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.box[0] = -1
        self.thread.join()


# The mailbox is i64s: ticket (-1 ends the worker), finished ticket, kernel, args, begin, end.
FORK_JOIN = """
declare void @llvm.x86.sse2.pause()
define void @worker(ptr %box) {
entry:
  %done = getelementptr i64, ptr %box, i64 1
  %k = getelementptr i64, ptr %box, i64 2
  %a = getelementptr i64, ptr %box, i64 3
  %b = getelementptr i64, ptr %box, i64 4
  %e = getelementptr i64, ptr %box, i64 5
  br label %wait
wait:
  %last = phi i64 [ 0, %entry ], [ %last, %wait ], [ %ticket, %run ]
  call void @llvm.x86.sse2.pause()
  %ticket = load atomic i64, ptr %box acquire, align 8
  %same = icmp eq i64 %ticket, %last
  br i1 %same, label %wait, label %check
check:
  %stop = icmp eq i64 %ticket, -1
  br i1 %stop, label %out, label %run
run:
  %kernel = load ptr, ptr %k
  %args = load ptr, ptr %a
  %begin = load i64, ptr %b
  %end = load i64, ptr %e
  call void %kernel(ptr %args, i64 %begin, i64 %end)
  store atomic i64 %ticket, ptr %done release, align 8
  br label %wait
out:
  ret void
}
define void @fork_join(ptr %box, ptr %kernel, ptr %args, i64 %middle, i64 %tasks) {
entry:
  %done = getelementptr i64, ptr %box, i64 1
  %k = getelementptr i64, ptr %box, i64 2
  %a = getelementptr i64, ptr %box, i64 3
  %b = getelementptr i64, ptr %box, i64 4
  %e = getelementptr i64, ptr %box, i64 5
  store ptr %kernel, ptr %k
  store ptr %args, ptr %a
  store i64 0, ptr %b
  store i64 %middle, ptr %e
  %before = load i64, ptr %box
  %ticket = add i64 %before, 1
  store atomic i64 %ticket, ptr %box release, align 8
  call void %kernel(ptr %args, i64 %middle, i64 %tasks)
  br label %wait
wait:
  %finished = load atomic i64, ptr %done acquire, align 8
  %over = icmp eq i64 %finished, %ticket
  br i1 %over, label %out, label %wait
out:
  ret void
}
"""


class Product:
    """One product bound to arrays; a call computes it alone, or with the `team` (to be entered around the calls)."""

    def __init__(self, compiled: Compiled, shape: Shape[int], arrays: tuple[np.ndarray, ...], team: Team | None) -> None:
        needed = plan(compiled.schedule, shape)
        self.scratch = [np.empty(bytes_ + 64, np.uint8) for bytes_ in (needed.packed_a_bytes, needed.packed_b_bytes)]
        pointers = [array.ctypes.data for array in arrays] + [(array.ctypes.data + 63) // 64 * 64 for array in self.scratch]
        self.arrays, self.team = arrays, team
        self.slots = np.array([*pointers, shape.batch, shape.m, shape.n, shape.k], np.int64)
        phases = [(compiled.names.pack_a, needed.pack_a_tasks), (compiled.names.pack_b, needed.pack_b_tasks), (compiled.names.compute, needed.compute_tasks)]
        self.phases = [(compiled.engine.get_function_address(name), tasks) for name, tasks in phases if name and tasks]
        self.kernels = [(KERNEL(address), tasks) for address, tasks in self.phases]
        self.address = self.slots.ctypes.data

    def __call__(self) -> None:
        if self.team:
            for kernel, tasks in self.phases:
                self.team.run(kernel, self.address, tasks)
            return
        for function, tasks in self.kernels:
            function(self.address, 0, tasks)


def measure(calls: list[Callable[[], object]], seconds: float = 0.25) -> list[float]:
    """The median time of each call. They take turns in short bursts, so that what else the machine does meets all of them."""
    times: list[list[float]] = [[] for _ in calls]
    ends = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < ends or len(times[0]) < 5:
        for call, taken in zip(calls, times, strict=True):
            with getattr(call, "team", None) or nullcontext():
                call()
                burst_ends = time.perf_counter() + 0.01
                while time.perf_counter() < burst_ends:
                    began = time.perf_counter()
                    call()
                    taken.append(time.perf_counter() - began)
            time.sleep(0.003)  # for the threads of a framework to leave their spinning
    return [statistics.median(taken) for taken in times]


PEAK_STEPS, PEAK_SUMS = 20000, 12


class Peak:
    """A loop of independent multiply-adds in registers; a call is `PEAK_STEPS` of `PEAK_SUMS` vectors."""

    def __init__(self, target: Target, scalar: Type) -> None:
        module = Module(target.triple)
        f = module.function("peak", (("args", PTR), ("begin", I64), ("end", I64)))
        vector = target.vector(scalar)
        places = [f.offset(f.parameters[0], I64.const(i * vector.lanes), scalar.scalar) for i in range(PEAK_SUMS + 1)]
        first, *starts = (f.load(place, vector) for place in places)
        with f.loop(f.parameters[1], f.parameters[2], carried=starts) as loop:
            loop.next = [f.fma(first, first, total) for total in loop.carried]
        for total, place in zip(loop.carried, places, strict=False):
            f.store(total, place)
        f.ret()
        self.engine, _ = compile_module(module, target)
        self.kernel = KERNEL(self.engine.get_function_address("peak"))
        self.data = np.zeros(4096, np.uint8)
        self.flops = PEAK_STEPS * PEAK_SUMS * 2 * vector.lanes

    def __call__(self) -> None:
        self.kernel(self.data.ctypes.data, 0, PEAK_STEPS)


def torch_product(arrays: tuple[np.ndarray, ...], layout: str, threads: int) -> Callable[[], object] | None:
    try:
        import torch
    except ImportError:
        return None
    a, b, c = (torch.from_numpy(array) for array in arrays)
    left, right = (a if layout[0] == "n" else a.transpose(1, 2)), (b if layout[1] == "n" else b.transpose(1, 2))
    out = torch.empty_like(c)

    def call() -> None:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if len(left) == 1:
            torch.mm(left[0], right[0], out=out[0])
        else:
            torch.bmm(left, right, out=out)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="1024x1024x1024,512x512x512,100x784x256,256x100x784,129x257x511,7x1000x333,1x1000x1000")
    parser.add_argument("--layout", default="nn,nt,tn")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--dynamic", action="store_true", help="one code for all sizes instead of one for each shape")

    options = parser.parse_args()
    target, scalar = host(), F32 if options.dtype == "float32" else F64
    team = Team(target)
    top = Peak(target, scalar)
    print("     M     K     N layout threads |  GFLOP/s  of peak |  PyTorch   ratio | compile")
    for text in options.shapes.split(","):
        m, k, n = (int(size) for size in text.split("x"))
        shape = Shape(options.batch, m, n, k)
        for layout in options.layout.split(","):
            compiled = compile_contraction(target, scalar, layout, Known() if options.dynamic else Known(options.batch, m, n, k))
            random = np.random.default_rng(0)
            sizes = [(m, k) if layout[0] == "n" else (k, m), (k, n) if layout[1] == "n" else (n, k)]
            a, b = (random.standard_normal((options.batch, *size)).astype(options.dtype) for size in sizes)
            c = np.empty((options.batch, m, n), options.dtype)
            expected = (a if layout[0] == "n" else a.transpose(0, 2, 1)) @ (b if layout[1] == "n" else b.transpose(0, 2, 1))
            for threads in map(int, options.threads.split(",")):
                product = Product(compiled, shape, (a, b, c), team if threads == 2 else None)
                c[:] = np.nan
                with product.team or nullcontext():
                    product()
                assert np.allclose(c, expected, rtol=1e-3, atol=1e-3), "wrong result"
                other = torch_product((a, b, c), layout, threads)
                times = measure([product, top, *([other] if other else [])], options.seconds)
                rate = 2e-9 * options.batch * m * n * k / times[0]
                best = threads * 1e-9 * top.flops / times[1]
                line = f"{m:6}{k:6}{n:6} {layout:6} {threads:7} | {rate:8.1f} {100 * rate / best:7.1f}% |"
                print(line, f"{rate * times[0] / times[2]:8.1f} {times[2] / times[0]:7.2f} |" if other else "", f"{1e3 * compiled.seconds:5.0f} ms", flush=True)


if __name__ == "__main__":
    main()
