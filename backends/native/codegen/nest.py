"""Schedules for loop nests: which loops are tasks, which axis is a vector, and in what order the stores run.

    map      out[i.., j] = f(loads)                    tasks: i.. and blocks of j; lanes along j
    row      out[i.., j] = f(loads, Reduce over rows)  tasks: i..; reductions of a row first, then lanes along j
    column   out[i.., j] = Reduce_k f(loads[k, j])     like a map: each lane reduces for itself
    whole    out[i..]    = Reduce_k f(loads[.., k])    tasks: i..; lanes along k
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphdl.kernel.expression import Axis, Expr, Load, Reduce, Scalar, walk
from graphdl.kernel.functions import TABLE
from graphdl.kernel.program import Store
from graphdl.sizes import Dim, ceildiv, product
from graphdl.types import is_floating

from ..llvm import I64, Value
from ..target import Target
from .affine import Flat, linear_part
from .emitter import Emitter
from .function import KernelFunction
from .reduction import contiguous_axis, unroll_of
from .registers import itemsize

MAP_BLOCK = 8192  # elements of the vector axis in one task


@dataclass(frozen=True)
class NestSchedule:
    """How a nest runs. `tasks` is the number of independent tasks, `work` an estimate of all scalar operations."""

    kind: str
    outer: tuple[Axis, ...]
    inner: tuple[Axis, ...]
    vector: Axis | None
    lanes: int
    single: int
    block: int

    @property
    def blocks(self) -> Dim:
        return ceildiv(self.vector.size, self.block) if self.block and self.vector is not None else 1

    @property
    def tasks(self) -> Dim:
        return product(axis.size for axis in self.outer) * self.blocks


def schedule_nest(flat: Flat, target: Target) -> NestSchedule:
    """Choose a schedule from where the reductions stand and which accesses are contiguous."""
    reductions = [x for store in flat.stores for x in walk(store.value) if isinstance(x, Reduce)]
    domain = set(flat.axes)
    prefix = [x for x in reductions if (x.axes & domain) != domain or not flat.axes]
    single = single_lanes(flat.stores, target)
    lanes = single * unroll_of(*(store.value for store in flat.stores))
    if prefix:
        depth = max((flat.axes.index(axis) + 1 for x in prefix for axis in x.axes & domain), default=0)
        depth = max(depth, min((len(store.axes) for store in flat.stores), default=0) if len({len(s.axes) for s in flat.stores}) > 1 else 0)
        outer, inner = flat.axes[:depth], flat.axes[depth:]
        return _fitted("row", outer, inner, inner[-1] if inner else None, lanes, single, 0)
    if not flat.axes:
        return _fitted("whole", (), (), None, lanes, single, 0)
    if reductions and not _column_like(reductions, flat):
        return _fitted("whole", flat.axes, (), None, lanes, single, 0)
    vector = flat.axes[-1]
    shallow = min(len(store.axes) for store in flat.stores)
    if shallow < len(flat.axes):  # some stores end before the innermost axes: those stay inside one task
        return _fitted("row", flat.axes[:shallow], flat.axes[shallow:], vector, lanes, single, 0)
    return _fitted("column" if reductions else "map", flat.axes[:-1], (vector,), vector, lanes, single, lanes if reductions else MAP_BLOCK)


def _fitted(kind: str, outer: tuple[Axis, ...], inner: tuple[Axis, ...], vector: Axis | None, lanes: int, single: int, block: int) -> NestSchedule:
    """No more lanes than a short axis can use."""
    if vector is not None and isinstance(vector.size, int):
        while lanes > single and lanes >= 2 * vector.size:
            lanes //= 2
        if block == MAP_BLOCK and vector.size <= block:
            block = 0
    return NestSchedule(kind, outer, inner, vector, lanes, single, min(block, lanes) if kind == "column" else block)


def _column_like(reductions: Sequence[Reduce], flat: Flat) -> bool:
    """Whether lanes along the last axis of the domain read memory better than lanes along the reduced axes."""
    last = flat.axes[-1]
    column = row = 0
    for x in reductions:
        along = contiguous_axis(x)
        for y in walk(x.body):
            if isinstance(y, Load):
                column += _is_unit(y, last)
                row += _is_unit(y, along)
    return column > row or (column == row and _small(contiguous_axis(reductions[0]).size) and not _small(last.size))


def _small(size: Dim) -> bool:
    return isinstance(size, int) and size < 8


def _is_unit(x: Load, axis: Axis) -> bool:
    parts = linear_part(x.index[0], axis)
    return parts is not None and parts[0] == 1


def single_lanes(stores: Sequence[Store], target: Target) -> int:
    """How many elements fill one register, counted in the widest float (else the widest stored) dtype."""
    found = {x.dtype for store in stores for x in walk(store.value) if is_floating(x.dtype)}
    sizes = [4 if dtype in ("float16", "bfloat16") else itemsize(dtype) for dtype in found]
    widest = max(sizes or [itemsize(store.buffer.type.dtype) for store in stores])
    return max(target.vector_bytes // widest, 1)


def emit_nest(kernel: KernelFunction, flat: Flat, schedule: NestSchedule) -> None:
    """Write the body of a kernel function: a loop over its tasks."""
    f, emitter = kernel.f, kernel.emitter
    with f.loop(kernel.begin, kernel.end) as loop:
        rest = loop.index
        block: Value | None = None
        if schedule.blocks != 1:
            rest, block = _split(kernel, rest, schedule.blocks)
        _bind_outer(kernel, list(schedule.outer), rest, lambda: _inside(kernel, flat, schedule, block))
    f.ret()
    assert len(emitter.scopes) == 1


def _split(kernel: KernelFunction, index: Value, count: Dim) -> tuple[Value, Value]:
    """(index // count, index % count) of natural numbers."""
    f = kernel.f
    size = kernel.emitter.index(count)
    quotient = f.emit(I64, f"udiv {index.typed}, {size.text}")
    return quotient, f.sub(index, f.mul(quotient, size))


def _bind_outer(kernel: KernelFunction, axes: list[Axis], rest: Value, body: Callable[[], None]) -> None:
    """Take a task number apart into the outer axes, the last one fastest."""
    if not axes:
        body()
        return
    *before, last = axes
    if before:
        rest, value = _split(kernel, rest, last.size)
    else:
        value = rest
    with kernel.emitter.binding(last, value):
        _bind_outer(kernel, before, rest, body)


def _inside(kernel: KernelFunction, flat: Flat, schedule: NestSchedule, block: Value | None) -> None:
    """What one task does: stores of leading axes first, then the loops over the inner axes."""
    emitter = kernel.emitter
    depth = len(schedule.outer)
    store_all(emitter, [store for store in flat.stores if len(store.axes) <= depth])
    deeper = [store for store in flat.stores if len(store.axes) > depth]
    if deeper:
        _inner_loops(kernel, list(schedule.inner), deeper, schedule, block)


def _inner_loops(kernel: KernelFunction, axes: list[Axis], stores: list[Store], schedule: NestSchedule, block: Value | None) -> None:
    f, emitter = kernel.f, kernel.emitter
    axis, *deeper = axes
    if deeper:
        with f.loop(I64.const(0), emitter.index(axis.size)) as loop, emitter.binding(axis, loop.index):
            _inner_loops(kernel, deeper, stores, schedule, block)
        return
    begin, end = I64.const(0), emitter.index(axis.size)
    if block is not None:
        begin = f.mul(block, I64.const(schedule.block))
        end = f.intrinsic("smin", I64, f.add(begin, I64.const(schedule.block)), end)

    vector_loop(kernel, axis, begin, end, schedule.lanes, schedule.single, lambda: store_all(emitter, stores))


def store_all(emitter: Emitter, stores: Sequence[Store]) -> None:
    """All values first: one of them may be written over what another one reads."""
    values = [emitter.value(store.value) for store in stores]
    for store, value in zip(stores, values, strict=True):
        emitter.store(store.buffer, store.index[0], value, store.value.dtype)


def vector_loop(kernel: KernelFunction, axis: Axis, begin: Value, end: Value, lanes: int, single: int, body: Callable[[], None]) -> None:
    """Run `body` for `axis` in [begin, end): whole vectors first, the rest under masks, or one by one where masks are slow."""
    f, emitter = kernel.f, kernel.emitter
    if lanes < 2:
        with f.loop(begin, end) as loop, emitter.binding(axis, loop.index):
            body()
        return
    count = f.sub(end, begin) if (begin.text + end.text).count("%") else I64.const(int(end.text) - int(begin.text))
    known = None if count.text.startswith("%") else int(count.text)
    whole = f.add(begin, f.sub(count, f.rem(count, I64.const(lanes)))) if known is None else I64.const(int(begin.text) + known // lanes * lanes)
    if known is None or known >= lanes:
        with f.loop(begin, whole, lanes) as loop, emitter.vector(axis, loop.index, lanes, None):
            body()
    if known is not None and known % lanes == 0:
        return
    if not emitter.target.has_masks:
        with f.loop(whole, end) as loop, emitter.binding(axis, loop.index):
            body()
        return
    with f.loop(whole, end, single) as loop:
        mask = f.tail_mask(f.sub(end, loop.index), single)
        with emitter.vector(axis, loop.index, single, mask):
            body()


def work_of(flat: Flat) -> Dim:
    """Scalar operations and loads of a nest, roughly: for deciding on threads and for costs."""
    total: Dim = 0
    for store in flat.stores:
        total = total + product(axis.size for axis in store.axes) * _work(store.value)
    return total


def _work(root: Expr) -> Dim:
    total: Dim = 1
    done: set[int] = set()
    stack: list[tuple[Expr, Dim]] = [(root, 1)]
    while stack:
        x, times = stack.pop()
        if x.number in done:
            continue
        done.add(x.number)
        if isinstance(x, Reduce):
            times = times * product(axis.size for axis in x.reduced)
        if isinstance(x, (Scalar, Load, Reduce)):
            total = total + times * (TABLE[x.function].flops if isinstance(x, Scalar) else 1)
        stack.extend((operand, times) for operand in x.operands)
    return total
