"""The thread pool: every part runs once, whoever calls it, from wherever, however often."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from graphdl.backends.native.llvm import F64, I64, PTR, Module
from graphdl.backends.native.runtime import jit, pool
from graphdl.backends.native.target import FAMILIES, host

pytestmark = pytest.mark.skipif("linux" not in host().triple, reason="the pool needs the futex of Linux")
Run = Callable[[int, int, int, int], None]


def kernels() -> str:
    """`mark` adds one to counts[i] of its range; `slow` works a while per task; `nest` calls the pool for each of its tasks."""
    module = Module(target_triple=host().triple)
    f = module.function("mark", [("args", PTR), ("begin", I64), ("end", I64)])
    args, begin, end = f.parameters
    with f.loop(begin, end) as loop:
        place = f.offset(args, loop.index, "i64")
        f.store(f.add(f.load(place, I64), I64.const(1)), place)
    f.ret()
    f = module.function("slow", [("args", PTR), ("begin", I64), ("end", I64)])
    args, begin, end = f.parameters
    with f.loop(begin, end) as loop:
        with f.loop(I64.const(0), I64.const(300_000), carried=[F64.const(1.0)]) as inner:
            inner.next[0] = f.div(inner.carried[0], F64.const(1.0000001))
        f.store(inner.carried[0], f.offset(args, loop.index, "double"))
    f.ret()
    f = module.function("nest", [("args", PTR), ("begin", I64), ("end", I64)])
    args, begin, end = f.parameters
    run, counts = f.load(args, PTR), f.load(f.offset(args, I64.const(1), "i64"), PTR)
    with f.loop(begin, end) as loop:
        row = f.offset(counts, f.mul(loop.index, I64.const(10)), "i64")
        f.void(f"call void {run.text}(ptr @mark, {row.typed}, i64 10, i64 2)")
    f.ret()
    return str(module)


@pytest.fixture(scope="module")
def loaded() -> jit.Loaded:
    return jit.load_object(jit.compile_object(kernels(), host(), verify=True))


@pytest.fixture(scope="module")
def run() -> Run:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(pool.pool_address())


def marked(run: Run, kernel: int, tasks: int, threads: int, times: int = 1) -> bool:
    counts = np.zeros(tasks + 2, np.int64)
    for _ in range(times):
        run(kernel, counts.ctypes.data + 8, tasks, threads)
    return bool((counts[1:-1] == times).all() and counts[0] == counts[-1] == 0)


@pytest.mark.parametrize("threads", range(9))
def test_every_task_runs_once(run: Run, loaded: jit.Loaded, threads: int) -> None:
    for tasks in [0, 1, 2, 3, 7, 8, 9, 63, 1000]:
        assert marked(run, loaded.address("mark"), tasks, threads)


def test_more_threads_than_there_may_be(run: Run, loaded: jit.Loaded) -> None:
    assert marked(run, loaded.address("mark"), 5000, 5000)


def test_thousands_of_jobs(run: Run, loaded: jit.Loaded) -> None:
    assert marked(run, loaded.address("mark"), 64, 2, times=20_000)
    for threads in (3, 5, 8):
        assert marked(run, loaded.address("mark"), 64, threads, times=500)


def test_wakes_sleeping_workers(run: Run, loaded: jit.Loaded) -> None:
    for pause in (0.0, 0.00003, 0.0001, 0.003):
        for _ in range(20):
            time.sleep(pause)
            assert marked(run, loaded.address("mark"), 10, 2)


def test_sleeping_caller_is_woken(run: Run, loaded: jit.Loaded) -> None:
    """Part 0 of [0, 1) and part 1 of [1, 3): the caller is done long before its worker."""
    out = np.zeros(3)
    for _ in range(20):
        out[:] = 0
        run(loaded.address("slow"), out.ctypes.data, 3, 2)
        assert (out > 0).all()


def test_concurrent_callers(run: Run, loaded: jit.Loaded) -> None:
    results: list[bool] = []

    def work() -> None:
        results.append(marked(run, loaded.address("mark"), 50, 2, times=2000))

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [True] * 4


def test_a_kernel_may_call_the_pool(run: Run, loaded: jit.Loaded) -> None:
    counts = np.zeros((20, 10), np.int64)
    args = np.array([pool.pool_address(), counts.ctypes.data], np.int64)
    run(loaded.address("nest"), args.ctypes.data, 20, 2)
    assert (counts == 1).all()


def test_child_of_a_fork_has_its_own_workers(run: Run, loaded: jit.Loaded) -> None:
    assert marked(run, loaded.address("mark"), 100, 3)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if marked(run, loaded.address("mark"), 100, 3, times=100) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert marked(run, loaded.address("mark"), 100, 3, times=100)


def test_idle_workers_sleep(run: Run, loaded: jit.Loaded) -> None:
    assert marked(run, loaded.address("mark"), 100, 2)
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_compiles_for_every_target(family: str) -> None:
    target = FAMILIES[family]
    for triple in (target.triple, target.triple.replace("unknown-linux-gnu", "apple-macosx")):
        module = Module(target_triple=triple)
        pool.emit_pool(module)
        data = jit.compile_object(str(module), target, verify=True)
        assert (b"pthread_create" in data) == ("linux" in triple)
