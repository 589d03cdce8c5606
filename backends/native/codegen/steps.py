"""Steps that are no plain nests: scatter and cumulative."""

from __future__ import annotations

from graphdl.kernel.expression import Axis, Expr, load
from graphdl.kernel.program import Cumulative, Kernel, Scatter, Store
from graphdl.sizes import Dim, as_size, product

from ..llvm import I64, Value
from .affine import flat_offset, flatten
from .function import KernelFunction
from .nest import single_lanes, vector_loop, work_of
from .reduction import Combination


def emit_scatter(kernel: KernelFunction, step: Scatter) -> tuple[Dim, Dim]:
    """Updates in order, for one block of the last free axis per task: every element is touched by one task only."""
    f, emitter = kernel.f, kernel.emitter
    target = load(step.buffer, step.index)
    combination = Combination(step.kind, step.value.dtype)
    flat = flatten(Kernel(step.name, step.axes, (Store(step.buffer, step.axes, step.index, step.value), Store(step.buffer, step.axes, step.index, target)), step.origins))
    store, old = flat.stores
    free = [axis for axis in flat.axes if axis.key in {one.key for one in step.free}]
    vector = free[-1] if free and flat.axes[-1] == free[-1] else None
    ordered = [axis for axis in flat.axes if axis != vector]
    lanes = single_lanes(flat.stores, emitter.target)

    def update() -> None:
        joined = combination.join(f, emitter.same_lanes([emitter.value(old.value)]), emitter.same_lanes([emitter.spread(emitter.value(store.value))]))
        emitter.store(store.buffer, store.index[0], joined[0], step.value.dtype)

    def nest(axes: list[Axis], begin: Value, end: Value) -> None:
        if axes:
            with f.loop(I64.const(0), emitter.index(axes[0].size)) as loop, emitter.binding(axes[0], loop.index):
                nest(axes[1:], begin, end)
        elif vector is None:
            update()
        else:
            vector_loop(kernel, vector, begin, end, lanes, lanes, update)

    block = 4 * lanes
    with f.loop(kernel.begin, kernel.end) as task:
        begin = f.mul(task.index, I64.const(block))
        end = I64.const(0) if vector is None else f.intrinsic("smin", I64, f.add(begin, I64.const(block)), emitter.index(vector.size))
        nest(ordered, begin, end)
    f.ret()
    tasks: Dim = 1 if vector is None else (vector.size + block - 1) // block
    return tasks, work_of(flat)


def emit_cumulative(kernel: KernelFunction, step: Cumulative) -> tuple[Dim, Dim]:
    """One task per point of the axes before `along`; the axes after it are lanes, each with a running value of its own."""
    f, emitter = kernel.f, kernel.emitter
    combination = Combination(step.kind, step.value.dtype)
    position = step.axes.index(step.along)
    outer, inner = step.axes[:position], step.axes[position + 1 :]
    size = step.along.size
    walked = as_size(step.along) if not step.reverse else size - 1 - as_size(step.along)
    value, offset = _along(step, walked)

    def run() -> None:
        start = combination.start(emitter.lanes.count if emitter.lanes else 0)
        with f.loop(I64.const(0), emitter.index(size), 1, start) as loop, emitter.binding(step.along, loop.index):
            after = combination.join(f, loop.carried, [emitter.spread(emitter.value(value))])
            loop.next = after
            emitter.store(offset[0].buffer, offset[0].index[0], loop.carried[0] if step.exclusive else after[0], step.value.dtype)

    lanes = single_lanes(offset, emitter.target)
    with f.loop(kernel.begin, kernel.end) as task:
        _bind(kernel, list(outer), task.index, list(inner), lanes, run)
    f.ret()
    return product(axis.size for axis in outer), product(axis.size for axis in step.axes)


def _along(step: Cumulative, walked: Dim) -> tuple[Expr, tuple[Store, ...]]:
    """The step's value and store with the running axis counted in the direction of the walk."""
    from graphdl.kernel.expression import substitute_axes
    from graphdl.sizes import substitute

    index = tuple(substitute(as_size(axis), {step.along: walked}) for axis in step.axes)
    moved = substitute_axes(step.value, {step.along: walked})
    # Only flat indices are wanted here, not merged axes: the running axis must stay what it is.
    flat = flatten(Kernel(step.name, (), (Store(step.buffer, (), index, moved),), step.origins))
    return flat.stores[0].value, (Store(flat.stores[0].buffer, step.axes, (flat_offset(step.buffer.type.shape, index),), flat.stores[0].value),)


def _bind(kernel: KernelFunction, outer: list[Axis], rest: Value, inner: list[Axis], lanes: int, run) -> None:  # type: ignore[no-untyped-def]
    from .nest import _bind_outer

    def loops() -> None:
        _inner(kernel, inner, lanes, run)

    _bind_outer(kernel, outer, rest, loops)


def _inner(kernel: KernelFunction, axes: list[Axis], lanes: int, run) -> None:  # type: ignore[no-untyped-def]
    f, emitter = kernel.f, kernel.emitter
    if not axes:
        run()
    elif len(axes) == 1:
        vector_loop(kernel, axes[0], I64.const(0), emitter.index(axes[0].size), lanes, lanes, run)
    else:
        with f.loop(I64.const(0), emitter.index(axes[0].size)) as loop, emitter.binding(axes[0], loop.index):
            _inner(kernel, axes[1:], lanes, run)
