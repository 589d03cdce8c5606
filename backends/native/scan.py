"""Looking for NaN and infinity: an entry that scans what every step has written, right after it, and stops at the first bad one."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

from graphdl.kernel.expression import Buffer, Const, Expr, Guard, Load, Reduce, Scalar, walk
from graphdl.kernel.program import Step
from graphdl.sizes import ceildiv
from graphdl.types import is_floating

from .codegen.entry import PARALLEL_WORK, EntryWriter
from .codegen.launch import Launch
from .llvm import I1, I16, I32, I64, PTR, Function, Type, Value
from .status import NONFINITE
from .target import Target, host

BLOCK = 16384  # elements of a task
UNROLL = 4
BITS: dict[str, tuple[Type, int]] = {"float16": (I16, 0x7C00), "bfloat16": (I16, 0x7F80), "float32": (I32, 0x7F800000), "float64": (I64, 0x7FF << 52)}
ARGUMENTS = 5  # status, buffer, elements, the status to set, and the least magnitude (as bits) that is bad


class ScanningEntry(EntryWriter):
    """Answers `NONFINITE` + k as soon as step k has written a NaN, or an infinity that nobody wrote into the program."""

    def write(self) -> None:
        steps = launched_steps(self.launches)
        self.numbers = {id(step): number for number, step in enumerate(steps)}
        self.last = {id(launch.step): launch for launch in self.launches}
        self.unbounded = unbounded_buffers(steps)
        super().write()

    def write_launch(self, launch: Launch) -> None:
        if launch is self.launches[0]:
            with self.f.at(self.f.root):
                self.scan_args = self.f.alloca(I64, ARGUMENTS, 64)
        super().write_launch(launch)
        if self.last[id(launch.step)] is not launch:
            return
        if self.program.sites:
            self._stop_if_failed()
        written = [buffer for buffer in launch.step.written if is_floating(buffer.type.dtype) and buffer.storage not in self.state]
        for buffer in written:
            self._scan(buffer, self.numbers[id(launch.step)])
        if written:
            self._stop()

    def _scan(self, buffer: Buffer, step: int) -> None:
        f = self.f
        word, limit = BITS[buffer.type.dtype]
        count = self.index(buffer.type.size)
        address = f.offset(self._address(buffer.storage), self.index(buffer.offset), word.text)
        values = [self.status, address, count, I64.const(NONFINITE + step), I64.const(limit + (buffer.storage in self.unbounded))]
        for slot, value in enumerate(values):
            f.store(value, f.offset(self.scan_args, I64.const(slot), "i64"))
        function = scan_function(self, buffer.type.dtype)
        tasks = self.index(ceildiv(buffer.type.size, BLOCK))
        large = f.compare("sge", count, I64.const(8 * PARALLEL_WORK)) if count.text.startswith("%") else I1.const(int(count.text) >= 8 * PARALLEL_WORK)
        threads = f.select(large, self.threads, I64.const(1))
        f.void(f"call void {self._pointer(self.pool_slot).text}(ptr @{function}, {self.scan_args.typed}, {tasks.typed}, {threads.typed})")

    def _stop(self) -> None:
        f = self.f
        failed = f.compare("ne", f.load(self.status, I64), I64.const(0))
        stop, go_on = f.fresh("stop"), f.fresh("on")
        f.branch_if(failed, stop, go_on)
        f.label(stop)
        f.ret(f.load(self.status, I64))
        f.label(go_on)


def scan_function(entry: EntryWriter, dtype: str) -> str:
    """The name of the kernel function that scans a buffer of `dtype`; written once."""
    name = f"scan_{dtype}"
    if name not in entry.module.functions:
        f = entry.module.function(name, [("args", PTR), ("begin", I64), ("end", I64)])
        _write_scan(f, host(), BITS[dtype][0])
    return name


def _write_scan(f: Function, target: Target, word: Type) -> None:
    """The greatest magnitude of a block, as an integer: finite numbers come before infinity, and infinity before NaN."""
    args, begin, end = f.parameters
    status, buffer = (f.load(f.offset(args, I64.const(k), "i64"), PTR) for k in range(2))
    count, site, least = (f.load(f.offset(args, I64.const(k), "i64"), I64) for k in range(2, ARGUMENTS))
    limit = least if word is I64 else f.convert("trunc", least, word)
    vector = target.vector(word)
    width = vector.lanes * UNROLL
    with f.loop(begin, end) as task:
        start = f.mul(task.index, I64.const(BLOCK))
        size = f.intrinsic("smin", I64, I64.const(BLOCK), f.sub(count, start))
        whole = f.sub(size, f.rem(size, I64.const(width)))
        with f.loop(I64.const(0), whole, width, [vector.const(0)] * UNROLL) as loop:
            places = [f.add(start, f.add(loop.index, I64.const(k * vector.lanes))) for k in range(UNROLL)]
            found = [_magnitude(f, f.load(f.offset(buffer, place, word.text), vector)) for place in places]
            loop.next[:] = [f.intrinsic("umax", vector, x, y) for x, y in zip(loop.carried, found, strict=True)]
        widest = functools.reduce(lambda x, y: f.intrinsic("umax", vector, x, y), loop.carried)
        most = f.intrinsic("vector.reduce.umax", word, widest, overload=[vector])
        with f.loop(whole, size, 1, [most]) as rest:
            last = _magnitude(f, f.load(f.offset(buffer, f.add(start, rest.index), word.text), word))
            rest.next[:] = [f.intrinsic("umax", word, rest.carried[0], last)]
        with f.when(f.compare("uge", rest.carried[0], limit)):
            f.store(site, status)
    f.ret()


def _magnitude(f: Function, x: Value) -> Value:
    return f.bit_and(x, x.type.const((1 << (x.type.bits - 1)) - 1))


def launched_steps(launches: Iterable[Launch]) -> list[Step]:
    """The steps of a program in the order of their first launches, those in loops too: what the numbers of bad steps count."""
    return list({id(launch.step): launch.step for launch in launches}.values())


def unbounded_buffers(steps: Iterable[Step]) -> set[Buffer]:
    """Buffers that may hold an infinity on purpose, because the program writes the number infinity there, as masks of attention do.

    So may what is computed from them element by element.
    """
    found: set[Buffer] = set()
    for step in steps:
        if any(_chooses_infinity(value, found) for value in step.values):
            found |= {buffer.storage for buffer in step.written}
    return found


def _chooses_infinity(root: Expr, known: set[Buffer]) -> bool:
    if _is_infinite(root):
        return True
    parts = list(walk(root))
    if any(isinstance(x, Reduce) for x in parts):
        return False
    chosen = [y for x in parts for y in _branches(x)]
    return any(map(_is_infinite, chosen)) or any(isinstance(x, Load) and x.buffer.storage in known for x in parts)


def _branches(x: Expr) -> tuple[Expr, ...]:
    if isinstance(x, Guard):
        return x.body, x.otherwise
    return x.operands[1:] if isinstance(x, Scalar) and x.function == "select" else ()


def _is_infinite(x: Expr) -> bool:
    return isinstance(x, Const) and isinstance(x.value, float) and math.isinf(x.value)
