"""The thread pool, as LLVM IR: the same code runs inside this process and is linked into exported objects.

`gd_pool_run(kernel, args, tasks, threads)` cuts [0, tasks) into T = min(threads, tasks, 256) parts, part t being
[t*tasks/T, (t+1)*tasks/T), runs part 0 itself, and returns when all are done. Each worker has one word on a cache line of its
own, its *mailbox*: idle (spinning), posted (a job waits), asleep. The caller exchanges `posted` into the mailboxes of the
workers that it needs, and makes the futex call only for those that slept; all others stay undisturbed. A worker takes its part by
exchanging `idle` for `posted`, and the caller, done with part 0, does the same for every worker that has not begun yet: one that the
system keeps from its processor, or that is slow to wake up, holds up nobody.
A worker that runs dry spins for a bounded time (about 30 us), then sleeps; a caller waiting for its workers does the same. With
fewer processors than threads nobody spins. One job runs at a time: a call from inside a kernel, or from another thread meanwhile,
runs its parts one after the other in place, which gives the same bits. After fork the child starts with no workers.

Only Linux has the futex; for other systems the function runs its parts in place.
"""

from __future__ import annotations

import ctypes
import functools

from graphdl.backends.native.llvm import I1, I32, I64, PTR, Function, Module, Value
from graphdl.backends.native.runtime.cache import cached_object, object_key
from graphdl.backends.native.runtime.futex import LINUX, SystemCalls, emit_futex, system_call
from graphdl.backends.native.runtime.jit import load_object
from graphdl.backends.native.target import baseline

MAX_THREADS = 256
STACK_BYTES = 2 << 20
SPINS = {"x86_64": 1000, "aarch64": 8000, "riscv64": 8000}  # about 30 us: `pause` takes 40 to 140 cycles, `yield` hardly any
_LINE = 128  # bytes: processors fetch cache lines in pairs
_IDLE, _POSTED, _ASLEEP = (I32.const(k) for k in range(3))
_CALLER_ASLEEP = I32.const(1 << 31)
_KEPT_SIGNALS = (4, 5, 6, 7, 8, 11)  # SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV: faults of the worker itself


def emit_pool(module: Module, *, atfork: str = "pthread_atfork", linkage: str = "") -> None:
    """Add `gd_pool_run` and what it needs to `module`, for the module's target triple.

    Undefined symbols on Linux: pthread_create, pthread_attr_init, pthread_attr_setstacksize, pthread_attr_setdetachstate, syscall,
    and `atfork`. glibc keeps pthread_atfork in its static part: code linked at run time takes `__register_atfork`.
    With linkage `weak`, several such objects in one program share one pool.
    """
    architecture = module.target_triple.split("-")[0]
    _emit_in_place(module)
    if not has_threads(module.target_triple):
        _emit_run_without_threads(module, linkage)
        return
    calls = LINUX[architecture]
    _emit_state(module, atfork)
    emit_futex(module, calls)
    _emit_worker(module)
    _emit_grow(module, calls, atfork)
    _emit_forked(module)
    _emit_join(module)
    _emit_run(module, SPINS[architecture], linkage)


def has_threads(triple: str) -> bool:
    """Whether there is more than running in place on such a system."""
    return "linux" in triple and triple.partition("-")[0] in LINUX


@functools.cache
def pool_address() -> int:
    """The address of this process's `gd_pool_run`, loaded on first use and never freed. Raises BackendError."""
    return load_object(cached_object(_text(), baseline())).pin().address("gd_pool_run")


def parts() -> dict[str, bytes]:
    """The object that `pool_address` loads, by its key in the cache."""
    return {object_key(_text(), baseline()): cached_object(_text(), baseline())}


@functools.cache
def _text() -> str:
    atfork = "pthread_atfork" if hasattr(ctypes.CDLL(None), "pthread_atfork") else "__register_atfork"
    module = Module(target_triple=baseline().triple)
    emit_pool(module, atfork=atfork)
    return str(module)


def _emit_state(module: Module, atfork: str) -> None:
    for name in ("gd_pool_busy", "gd_pool_pending"):
        module.globals[name] = f"@{name} = internal global [{_LINE // 4} x i32] zeroinitializer, align {_LINE}"
    module.globals["gd_pool_mail"] = f"@gd_pool_mail = internal global [{MAX_THREADS * _LINE // 4} x i32] zeroinitializer, align {_LINE}"
    module.globals["gd_pool_job"] = f"@gd_pool_job = internal global {{ ptr, ptr, i64, i64 }} zeroinitializer, align {_LINE}"
    for name in ("workers", "spins", "processors"):
        module.globals[f"gd_pool_{name}"] = f"@gd_pool_{name} = internal global i64 0, align 8"
    module.globals["gd_pool_registered"] = "@gd_pool_registered = internal global i32 0, align 4"
    module.declare("pthread_create", "i32 @pthread_create(ptr, ptr, ptr, ptr)")
    module.declare("pthread_attr_init", "i32 @pthread_attr_init(ptr)")
    for name in ("setstacksize", "setdetachstate"):
        module.declare(f"pthread_attr_{name}", f"i32 @pthread_attr_{name}(ptr, {'i64' if name == 'setstacksize' else 'i32'})")
    module.declare(atfork, f"i32 @{atfork}(ptr, ptr, ptr{', ptr' if atfork == '__register_atfork' else ''})")


_BUSY, _PENDING, _JOB = (Value(f"@gd_pool_{name}", PTR) for name in ("busy", "pending", "job"))
_WORKERS, _SPINS, _PROCESSORS, _REGISTERED = (Value(f"@gd_pool_{name}", PTR) for name in ("workers", "spins", "processors", "registered"))


def _mailbox(f: Function, worker: Value) -> Value:
    return f.offset(Value("@gd_pool_mail", PTR), f.mul(worker, I64.const(_LINE // 4)), "i32")


def _emit_in_place(module: Module) -> None:
    """`gd_pool_part` runs one part of a job, `gd_pool_inline` all of them in order."""
    f = module.function("gd_pool_part", [("kernel", PTR), ("args", PTR), ("tasks", I64), ("parts", I64), ("part", I64)], None, "internal")
    kernel, args, tasks, parts, part = f.parameters
    begin = f.div(f.mul(part, tasks), parts)
    end = f.div(f.mul(f.add(part, I64.const(1)), tasks), parts)
    f.void(f"call void {kernel.text}({args.typed}, {begin.typed}, {end.typed})")
    f.ret()

    f = module.function("gd_pool_inline", [("kernel", PTR), ("args", PTR), ("tasks", I64), ("parts", I64)], None, "internal", "noinline")
    kernel, args, tasks, parts = f.parameters
    with f.loop(I64.const(0), parts) as loop:
        f.call("gd_pool_part", None, kernel, args, tasks, parts, loop.index)
    f.ret()


def _run_header(module: Module, linkage: str) -> tuple[Function, list[Value]]:
    f = module.function("gd_pool_run", [("kernel", PTR), ("args", PTR), ("tasks", I64), ("threads", I64)], None, linkage)
    kernel, args, tasks, threads = f.parameters
    parts = f.intrinsic("smin", I64, f.intrinsic("smin", I64, tasks, threads), I64.const(MAX_THREADS))
    parts = f.intrinsic("smax", I64, parts, f.convert("zext", f.compare("sgt", tasks, I64.const(0)), I64))
    return f, [kernel, args, tasks, parts]


def _emit_run_without_threads(module: Module, linkage: str) -> None:
    f, job = _run_header(module, linkage)
    f.call("gd_pool_inline", None, *job)
    f.ret()


def _emit_run(module: Module, spins: int, linkage: str) -> None:
    f, job = _run_header(module, linkage)
    parts = job[3]
    f.branch_if(f.compare("sgt", parts, I64.const(1)), "lock", "inline")
    f.label("lock")
    f.branch_if(f.compare("eq", f.atomic_rmw("xchg", _BUSY, I32.const(1), "acquire"), I32.const(0)), "locked", "inline")
    f.label("inline")
    f.call("gd_pool_inline", None, *job)
    f.ret()
    f.label("locked")
    helpers = f.sub(parts, I64.const(1))
    f.branch_if(f.compare("slt", f.load(_WORKERS, I64), helpers), "grow", "ready")
    f.label("grow")
    f.call("gd_pool_grow", None, helpers)
    f.branch_if(f.compare("slt", f.load(_WORKERS, I64), helpers), "refused", "ready")
    f.label("refused")  # the system gave no more threads
    f.atomic_store(I32.const(0), _BUSY)
    f.branch("inline")
    f.label("ready")
    for index, value in enumerate(job):
        f.store(value, f.offset(_JOB, I64.const(index), "i64"))
    roomy = f.compare("sle", parts, f.load(_PROCESSORS, I64))
    f.atomic_store(f.select(roomy, I64.const(spins), I64.const(0)), _SPINS, "monotonic")
    f.atomic_store(f.convert("trunc", helpers, I32), _PENDING, "monotonic")
    with f.loop(I64.const(1), parts) as loop:
        mailbox = _mailbox(f, loop.index)
        with f.when(f.compare("eq", f.atomic_rmw("xchg", mailbox, _POSTED), _ASLEEP)):
            f.call("gd_futex_wake", None, mailbox)
    f.call("gd_pool_part", None, *job, I64.const(0))
    with f.loop(I64.const(1), parts) as loop:
        _, taken_back = f.compare_exchange(_mailbox(f, loop.index), _POSTED, _IDLE)
        with f.when(taken_back):
            f.call("gd_pool_part", None, *job, loop.index)
            f.atomic_rmw("sub", _PENDING, I32.const(1))
    f.call("gd_pool_join", None)
    f.atomic_store(I32.const(0), _BUSY)
    f.ret()


def _spin_while(f: Function, busy: str, word: Value, value: Value | None, then: str, tired: str) -> None:
    """Spin at `busy` while the word is `value` (or, without one, is not zero); go on at `then`, or after the bounded time at `tired`."""
    f.branch(f"{busy}.start")
    f.label(f"{busy}.start")
    spins = f.atomic_load(_SPINS, I64, "monotonic")
    f.branch(busy)
    f.label(busy)
    count = f.emit(I64, f"phi i64 [ 0, %{busy}.start ], [ %{busy}.next, %{busy}.more ]")
    seen = f.atomic_load(word, I32)
    waiting = f.compare("eq", seen, value) if value else f.compare("ne", seen, I32.const(0))
    f.branch_if(waiting, f"{busy}.again", then)
    f.label(f"{busy}.again")
    f.branch_if(f.compare("slt", count, spins), f"{busy}.more", tired)
    f.label(f"{busy}.more")
    f.pause()
    f.void(f"%{busy}.next = add i64 {count.text}, 1")
    f.branch(busy)


def _emit_worker(module: Module) -> None:
    f = module.function("gd_pool_worker", [("self", PTR)], PTR, "internal")
    part = f.convert("ptrtoint", f.parameters[0], I64)
    mailbox = _mailbox(f, part)
    f.branch("next")
    f.label("next")
    _spin_while(f, "spin", mailbox, _IDLE, "work", "tired")
    f.label("tired")
    _, asleep = f.compare_exchange(mailbox, _IDLE, _ASLEEP)
    f.branch_if(asleep, "sleep", "work")
    f.label("sleep")
    f.call("gd_futex_wait", None, mailbox, _ASLEEP)
    f.branch_if(f.compare("eq", f.atomic_load(mailbox, I32), _ASLEEP), "sleep", "work")
    f.label("work")
    _, taken = f.compare_exchange(mailbox, _POSTED, _IDLE)
    f.branch_if(taken, "taken", "next")
    f.label("taken")
    kernel, args = (f.load(f.offset(_JOB, I64.const(k), "i64"), PTR) for k in range(2))
    tasks, parts = (f.load(f.offset(_JOB, I64.const(k), "i64"), I64) for k in (2, 3))
    f.call("gd_pool_part", None, kernel, args, tasks, parts, part)
    before = f.atomic_rmw("sub", _PENDING, I32.const(1))
    with f.when(f.compare("eq", before, f.bit_or(I32.const(1), _CALLER_ASLEEP))):
        f.call("gd_futex_wake", None, _PENDING)
    f.branch("next")


def _emit_join(module: Module) -> None:
    """Wait until no worker is pending; the sign bit tells the last worker that the caller sleeps."""
    f = module.function("gd_pool_join", [], None, "internal")
    _spin_while(f, "spin", _PENDING, None, "done", "tired")
    f.label("tired")
    seen = f.atomic_load(_PENDING, I32)
    f.branch_if(f.compare("eq", f.shift_left(seen, I32.const(1)), I32.const(0)), "done", "wait")
    f.label("wait")
    marked = f.bit_or(seen, _CALLER_ASLEEP)
    _, written = f.compare_exchange(_PENDING, seen, marked)
    f.branch_if(written, "sleep", "tired")
    f.label("sleep")
    f.call("gd_futex_wait", None, _PENDING, marked)
    f.branch("tired")
    f.label("done")
    f.ret()


def _emit_grow(module: Module, calls: SystemCalls, atfork: str) -> None:
    """Make workers until there are `wanted`, with signals blocked, so that the program's own threads handle them."""
    f = module.function("gd_pool_grow", [("wanted", I64)], None, "internal", "noinline")
    wanted = f.parameters[0]
    mask, saved, thread = f.alloca(I64, 1), f.alloca(I64, 1), f.alloca(I64, 1)
    attributes, processors = f.alloca(I64, 32), f.alloca(I64, 128)
    _emit_register(f, atfork)
    _emit_count_processors(f, processors, calls)
    f.store(I64.const(~sum(1 << (signal - 1) for signal in _KEPT_SIGNALS)), mask)
    system_call(f, calls.signal_mask, [I64.const(2), mask, saved, I64.const(8)])
    f.call("pthread_attr_init", I32, attributes)
    f.call("pthread_attr_setstacksize", I32, attributes, I64.const(STACK_BYTES))
    f.call("pthread_attr_setdetachstate", I32, attributes, I32.const(1))
    with f.loop(f.add(f.load(_WORKERS, I64), I64.const(1)), f.add(wanted, I64.const(1))) as loop:
        number = f.convert("inttoptr", loop.index, PTR)
        failed = f.call("pthread_create", I32, thread, attributes, Value("@gd_pool_worker", PTR), number)
        assert failed is not None
        made = f.compare("eq", failed, I32.const(0))
        following = f.compare("eq", f.add(f.load(_WORKERS, I64), I64.const(1)), loop.index)
        with f.when(f.emit(I1, f"and i1 {made.text}, {following.text}")):
            f.store(loop.index, _WORKERS)
    system_call(f, calls.signal_mask, [I64.const(2), saved, PTR.const(0), I64.const(8)])
    f.ret()


def _emit_register(f: Function, atfork: str) -> None:
    with f.when(f.compare("eq", f.load(_REGISTERED, I32), I32.const(0))):
        f.store(I32.const(1), _REGISTERED)
        unused = [PTR.const(0)] if atfork == "__register_atfork" else []
        f.call(atfork, I32, PTR.const(0), PTR.const(0), Value("@gd_pool_forked", PTR), *unused)


def _emit_count_processors(f: Function, mask: Value, calls: SystemCalls) -> None:
    """Those this process may use: with more threads than that, a spinning thread keeps a working one from its processor."""
    filled = system_call(f, calls.affinity, [I64.const(0), I64.const(1024), mask])
    words = f.div(f.intrinsic("smax", I64, filled, I64.const(0)), I64.const(8))
    with f.loop(I64.const(0), words, carried=[I64.const(0)]) as loop:
        loop.next[0] = f.add(loop.carried[0], f.intrinsic("ctpop", I64, f.load(f.offset(mask, loop.index, "i64"), I64)))
    f.store(loop.carried[0], _PROCESSORS)


def _emit_forked(module: Module) -> None:
    """In the child of a fork only the forking thread lives: forget the workers and whatever they did."""
    f = module.function("gd_pool_forked", [], None, "internal")
    for word in (_BUSY, _PENDING):
        f.store(I32.const(0), word)
    f.store(I64.const(0), _WORKERS)
    with f.loop(I64.const(0), I64.const(MAX_THREADS)) as loop:
        f.store(_IDLE, _mailbox(f, loop.index))
    f.ret()
