"""Steps that are no plain nests: scatter and cumulative. Both walk along the middle of three axes, in order.

A task is one point of the first axis and a block of the last, whose elements are lanes: no two tasks touch one element.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphdl.kernel.program import Cumulative, Scatter, Store
from graphdl.sizes import Dim, ceildiv

from ..llvm import I64, Value
from .affine import Flat, flat_stores
from .combination import Combination
from .emitter import Emitter
from .function import KernelFunction
from .loops import vector_loop
from .nest import single_lanes, work_of
from .scalar import emit_scalar

UNROLL = 4  # registers of lanes that one task walks with


def emit_scatter(kernel: KernelFunction, step: Scatter) -> tuple[Dim, Dim]:
    """Add the updates one after the other. Returns the number of tasks and the work."""
    emitter, combination = kernel.emitter, Combination(step.kind, step.value.dtype)
    index, (_, middle, last) = step.index, step.axes
    added, old = flat_stores([Store(step.buffer, step.axes, index, value) for value in step.values])
    walk = _Walk(kernel, step, (added, old))

    def update() -> None:
        parts = emitter.same_lanes([emitter.value(old.value), emitter.spread(emitter.value(added.value))])
        (joined,) = combination.join(kernel.f, parts[:1], parts[1:])
        emitter.store(added.buffer, added.index[0], joined, step.value.dtype)

    with walk.tasks() as (begin, end), kernel.f.loop(I64.const(0), emitter.index(middle.size)) as loop, emitter.binding(middle, loop.index):
        vector_loop(kernel, last, begin, end, walk.lanes, walk.single, update)
    kernel.f.ret()
    return walk.count, walk.work


def emit_cumulative(kernel: KernelFunction, step: Cumulative) -> tuple[Dim, Dim]:
    """Every lane carries a running value of its own. Returns the number of tasks and the work."""
    f, emitter, combination = kernel.f, kernel.emitter, Combination(step.kind, step.value.dtype)
    _, middle, last = step.axes
    stores = flat_stores([Store(step.buffer, step.axes, step.index, value) for value in step.values])
    walk = _Walk(kernel, step, stores)

    def run() -> None:
        start = combination.start(f, emitter.lanes.count if emitter.lanes else 0)
        with f.loop(I64.const(0), emitter.index(middle.size), 1, start) as loop, emitter.binding(middle, loop.index):
            element, *factor = (emitter.spread(emitter.value(store.value)) for store in stores)
            carried = _scaled(emitter, step, loop.carried, factor)
            loop.next = combination.join(f, carried, [element])
            stored = loop.carried if step.exclusive else loop.next
            emitter.store(stores[0].buffer, stores[0].index[0], stored[0], step.value.dtype)

    with walk.tasks() as (begin, end):
        vector_loop(kernel, last, begin, end, walk.lanes, walk.single, run)
    f.ret()
    return walk.count, walk.work


def _scaled(emitter: Emitter, step: Cumulative, carried: list[Value], factor: list[Value]) -> list[Value]:
    return [emit_scalar(emitter.f, "multiply", step.value.dtype, step.value.dtype, [carried[0], factor[0]])] if factor else carried


class _Walk:
    """The loop over tasks, and into how many lanes and blocks the last axis is cut."""

    def __init__(self, kernel: KernelFunction, step: Scatter | Cumulative, stores: tuple[Store, ...]) -> None:
        self.kernel, self.axes = kernel, step.axes
        size = step.axes[2].size
        self.single = single_lanes(stores, kernel.emitter.target)
        self.lanes = self.single * UNROLL
        while isinstance(size, int) and self.lanes > 1 and self.lanes >= 2 * size:
            self.lanes //= 2
        self.blocks = ceildiv(size, self.single * UNROLL)
        self.count = step.axes[0].size * self.blocks
        self.work = work_of(Flat(step.axes, stores))

    @contextmanager
    def tasks(self) -> Iterator[tuple[Value, Value]]:
        """For every task: bind the first axis, and give the bounds of its block of the last."""
        f, emitter = self.kernel.f, self.kernel.emitter
        first, _, last = self.axes
        with f.loop(self.kernel.begin, self.kernel.end) as loop:
            blocks = emitter.index(self.blocks)
            quotient = f.emit(I64, f"udiv {loop.index.typed}, {blocks.text}")
            begin = f.mul(f.sub(loop.index, f.mul(quotient, blocks)), I64.const(self.single * UNROLL))
            end = f.intrinsic("smin", I64, f.add(begin, I64.const(self.single * UNROLL)), emitter.index(last.size))
            with emitter.binding(first, quotient):
                yield begin, end
