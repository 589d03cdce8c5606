"""Schedules for loop nests: which loops are tasks, which axis is a vector, and in what order the stores run.

map      out[i.., j] = f(loads)                    tasks: i.. and blocks of j; lanes along j
row      out[i.., j] = f(loads, Reduce over rows)  tasks: i..; reductions of a row first, then lanes along j
tiles    out[.., i, j] = f(loads[.., j, i])        tasks: .. and blocks of i; lanes along i to read, along j to write
staged   out[.., i, r..] = f(.., g(loads[.., i]))  tasks: .. and blocks of i; lanes along i for g, along (i, r..), which are few, for f
column   out[i.., j] = Reduce_k f(loads[k, j])     like a map: each lane reduces for itself
lines    out[i, .., j] = f(loads, Reduce over i)   tasks: .. and blocks of j; each lane reduces for itself, then goes along i
whole    out[i..]    = Reduce_k f(loads[.., k])    tasks: i.., but for a few last ones whose results are reduced together; lanes along k
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from graphdl.kernel.expression import Axis, Expr, Load, Reduce, Scalar, walk
from graphdl.kernel.functions import TABLE
from graphdl.kernel.program import Store
from graphdl.record import record
from graphdl.sizes import Dim, ceildiv, content, product
from graphdl.types import is_floating

from ..llvm import I64, Function, Value
from ..target import Target
from .affine import Flat, step_of
from .beside import axes_beside
from .function import KernelFunction
from .reduction import contiguous_axis, is_unrolled, unroll_of
from .registers import itemsize
from .staging import staged_axes
from .task import Task
from .tiles import LARGEST, crossing_axis

MAP_BLOCK = 8192  # elements of the vector axis in one task
SHORT_ROW = 128  # elements of a row that take no longer than beginning a task
TASK = 4096  # elements of short rows in one task
LEAST_TASKS = 64  # that are left for threads when short rows are put together
FEW = 4  # elements of a row that one vector of lanes computes no faster than one by one
COLUMN_UNROLL = 16  # registers that run down light columns side by side: a stretch of each row long enough to be prefetched


@record
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


def schedule_nest(flat: Flat, target: Target, inside: int | None = None) -> NestSchedule:
    """Choose a schedule from where the reductions stand and which accesses are contiguous.

    `inside` is the number of axes of a map or a column that are loops of one task, where that is known from the sizes themselves.
    """
    reductions = [x for store in flat.stores for x in walk(store.value) if isinstance(x, Reduce)]
    domain = set(flat.axes)
    prefix = [x for x in reductions if (x.axes & domain) != domain or not flat.axes]
    single = single_lanes(flat.stores, target)
    lanes = single * unroll_of(target.vector_registers, *(store.value for store in flat.stores))
    needed = {axis for x in prefix for axis in x.axes & domain}
    if flat.axes and flat.axes[-1] in needed != domain and all(store.axes == flat.axes for store in flat.stores):
        outer, inner = (tuple(axis for axis in flat.axes[:-1] if (axis in needed) == inside) for inside in (True, False))
        return _fitted("lines", outer, inner, flat.axes[-1], lanes, single, lanes)
    if prefix:
        depth = max((flat.axes.index(axis) + 1 for axis in needed), default=0)
        depth = max(depth, min((len(store.axes) for store in flat.stores), default=0) if len({len(s.axes) for s in flat.stores}) > 1 else 0)
        outer, inner = flat.axes[:depth], flat.axes[depth:]
        return _fitted("row", outer, inner, inner[-1] if inner else None, lanes, single, 0)
    if not flat.axes:
        return _fitted("whole", (), (), None, lanes, single, 0)
    if reductions and not _column_like(reductions, flat):
        beside = axes_beside(flat, target.vector_registers)
        return _fitted("whole", flat.axes[: len(flat.axes) - beside], flat.axes[len(flat.axes) - beside :], None, lanes, single, 0)
    vector = flat.axes[-1]
    shallow = min(len(store.axes) for store in flat.stores)
    if shallow < len(flat.axes):  # some stores end before the innermost axes: those stay inside one task
        return _fitted("row", flat.axes[:shallow], flat.axes[shallow:], vector, lanes, single, 0)
    depth = _inside(flat) if inside is None else inside
    if reductions:
        lanes = max(lanes, single * COLUMN_UNROLL) if all(_is_plain_sum(x) for x in reductions) and lanes > single else lanes
        found = _fitted("column", flat.axes[:-depth], flat.axes[-depth:], vector, lanes, single, lanes)
        return found if depth == 1 else replace(found, block=0)
    turned = staged_axes(flat, min(single, LARGEST)) if single > 1 else ()
    if turned:
        return _staged(flat, turned, min(single, LARGEST), inside)
    across = crossing_axis(flat)
    if across is not None and single > 1:
        side = min(single, LARGEST)
        return NestSchedule("tiles", tuple(axis for axis in flat.axes[:-1] if axis != across), (vector,), across, side, side, side)
    return _fitted("map", flat.axes[:-depth], flat.axes[-depth:], vector, lanes, single, MAP_BLOCK)


def _staged(flat: Flat, turned: tuple[Axis, ...], side: int, inside: int | None) -> NestSchedule:
    """A task takes several tiles: of all of i and axes before it if they are short, else of a block of i."""
    axes = (*(axis for axis in flat.axes if axis not in turned), *turned)
    depth = _depth(axes, len(turned)) if inside is None else inside
    across = turned[0]
    is_short = isinstance(across.size, int) and across.size <= SHORT_ROW
    return NestSchedule("staged", axes[:-depth], axes[-depth:], across, side, side, 0 if is_short else SHORT_ROW)


def _inside(flat: Flat) -> int:
    """How many axes one task runs over: one, and where rows are short as many more as fill a task."""
    return _depth(flat.axes, 1) if has_short_rows(flat) else 1


def _depth(axes: Sequence[Axis], depth: int) -> int:
    """`depth` axes, the last ones, and as many more as fill a task while enough of them are left."""
    while depth < len(axes) and all(isinstance(axis.size, int) for axis in axes[-depth - 1 :]):
        elements = product(axis.size for axis in axes[-depth - 1 :])
        if content(product(axis.size for axis in axes[: -depth - 1])) < LEAST_TASKS or elements > TASK:  # type: ignore[operator]
            break
        depth += 1
    return depth


def has_short_rows(flat: Flat) -> bool:
    """Whether the last axis fills so few registers that its size is worth code of its own."""
    return bool(flat.axes) and isinstance(flat.axes[-1].size, int) and flat.axes[-1].size <= SHORT_ROW


def _fitted(kind: str, outer: tuple[Axis, ...], inner: tuple[Axis, ...], vector: Axis | None, lanes: int, single: int, block: int) -> NestSchedule:
    """No more lanes than a short axis can use."""
    if vector is not None and isinstance(vector.size, int):
        while lanes > single and lanes >= 2 * vector.size:
            lanes //= 2
        if block == MAP_BLOCK and vector.size <= block:
            block = 0
    return NestSchedule(kind, outer, inner, vector, lanes, single, min(block, lanes) if kind in ("column", "lines") else block)


def _column_like(reductions: Sequence[Reduce], flat: Flat) -> bool:
    """Whether lanes along the last axis of the domain read memory better than lanes along the reduced axes."""
    last = flat.axes[-1]
    few = isinstance(last.size, int) and last.size < FEW
    if all(_small(axis.size) for x in reductions for axis in x.reduced) and not few:
        return True
    loads = [(y, contiguous_axis(x)) for x in reductions for y in walk(x.body) if isinstance(y, Load)]
    apart = sum(_is_apart(y, last) for y, _ in loads), sum(_is_apart(y, along) for y, along in loads)
    if apart[0] != apart[1] and not few:
        return apart[0] < apart[1]
    column, row = sum(step_of(y.index[0], last) == 1 for y, _ in loads), sum(step_of(y.index[0], along) == 1 for y, along in loads)
    return column > row or (column == row and all(map(is_unrolled, reductions)))


def _is_plain_sum(x: Reduce) -> bool:
    return not x.kind.startswith("arg") and sum(isinstance(y, (Load, Scalar)) for y in walk(x.body)) <= 3


def _small(size: Dim) -> bool:
    return isinstance(size, int) and size < 8


def _is_apart(x: Load, axis: Axis) -> bool:
    """Whether neighbours along the axis lie apart, so that a vector of them is gathered."""
    return axis in x.axes and step_of(x.index[0], axis) != 1


def single_lanes(stores: Sequence[Store], target: Target) -> int:
    """How many elements fill one register, counted in the widest float (else the widest stored) dtype of what differs from place to place."""
    found = {x.dtype for store in stores for x in walk(store.value) if is_floating(x.dtype) and (x.axes or not store.axes)}
    sizes = [4 if dtype in ("float16", "bfloat16") else itemsize(dtype) for dtype in found]
    widest = max(sizes or [itemsize(store.buffer.type.dtype) for store in stores])
    return max(target.vector_bytes // widest, 1)


def emit_nest(kernel: KernelFunction, flat: Flat, schedule: NestSchedule, *, may_stream: bool = False) -> None:
    """Write the body of a kernel function: a loop over its tasks. With `may_stream` an argument tells whether it streams its results."""
    f, emitter = kernel.f, kernel.emitter
    task = Task(kernel, flat, schedule, may_stream)
    blocks = [] if schedule.blocks == 1 else [emitter.index(schedule.blocks)]
    counts = [*(emitter.index(axis.size) for axis in schedule.outer), *blocks]
    with f.loop(kernel.begin, kernel.end, 1, digits(f, kernel.begin, counts)) as loop, ExitStack() as bound:
        loop.next = following(f, loop.carried, counts)
        for axis, value in zip(schedule.outer, loop.carried, strict=False):
            bound.enter_context(emitter.binding(axis, value))
        task.run(loop.carried[-1] if blocks else None)
    task.finish()
    f.ret()
    assert len(emitter.scopes) == 1


def digits(f: Function, number: Value, counts: Sequence[Value]) -> list[Value]:
    """A task's number as one digit per count, the last one fastest: divided once, then counted on."""
    digits: list[Value] = []
    for count in reversed(counts[1:]):
        some = f.intrinsic("smax", I64, count, I64.const(1))  # nothing runs if there is none
        quotient = f.emit(I64, f"udiv {number.typed}, {some.text}")
        digits.append(f.sub(number, f.mul(quotient, some)))
        number = quotient
    return [number, *reversed(digits)] if counts else []


def following(f: Function, digits: Sequence[Value], counts: Sequence[Value]) -> list[Value]:
    """The digits of the next number."""
    found: list[Value] = []
    carry: Value = I64.const(1)
    for digit, count in zip(reversed(digits[1:]), reversed(counts[1:]), strict=True):
        raised = f.add(digit, carry)
        wraps = f.compare("eq", raised, count)
        found.append(f.select(wraps, I64.const(0), raised))
        carry = f.convert("zext", wraps, I64)
    return [*(f.add(digit, carry) for digit in digits[:1]), *reversed(found)]


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
