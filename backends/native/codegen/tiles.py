"""Maps that read along one axis what they write along another: square tiles, transposed in registers.

Lanes along the written axis would gather from as many cache lines as there are lanes, and come back to each line when it is gone.
A tile reads whole vectors along the one axis and writes whole vectors along the other. What is left at the edges is gathered.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphdl.kernel.expression import Axis, Const, Expr, Guard, Load, Loaded, index_atoms, walk
from graphdl.kernel.program import Store

from ..contraction.transpose import transpose
from ..llvm import I64, Value
from .affine import Flat, linear_part, step_of
from .function import KernelFunction
from .loops import store_all, vector_loop

LARGEST = 16  # lanes of a tile
MOST = 2  # operands that are transposed: each fills the registers of a tile


def crossing_axis(flat: Flat) -> Axis | None:
    """The axis along which loads are contiguous where stores are along the last one; None if there is no one such axis."""
    last = flat.axes[-1]
    reads = crossing_reads(flat.stores, last)
    axes = {contiguous_axis_of(flat, _load_of(read)) for read in reads}
    plain = all(store.axes == flat.axes and step_of(store.index[0], last) == 1 for store in flat.stores)
    guarded = {x for store in flat.stores for x in walk(store.value) if isinstance(x, Guard)}
    if not plain or len(axes) != 1 or len(reads) > MOST or not guarded.issubset(reads):
        return None
    (axis,) = axes
    return None if axis is None or any(isinstance(one.size, int) and one.size < LARGEST // 2 for one in (axis, last)) else axis


def crossing_reads(stores: Sequence[Store], last: Axis) -> list[Expr]:
    """The loads that take steps of more than one element along the last axis, each with the guard around it if there is one."""
    reads = dict.fromkeys(x for store in stores for x in walk(store.value) if _is_read(x))
    inside = {_load_of(x) for x in reads if isinstance(x, Guard)}
    return [x for x in reads if x not in inside and last in _load_of(x).axes and step_of(_load_of(x).index[0], last) != 1]


def _is_read(x: Expr) -> bool:
    """Whether it is a load, or one that is a constant elsewhere: an array with a border."""
    guarded = isinstance(x, Guard) and isinstance(x.body, Load) and isinstance(x.otherwise, Const) and not any(isinstance(y, Load) for y in walk(x.predicate))
    return guarded or isinstance(x, Load)


def _load_of(read: Expr) -> Load:
    found = read.body if isinstance(read, Guard) else read
    assert isinstance(found, Load)
    return found


def contiguous_axis_of(flat: Flat, x: Load) -> Axis | None:
    """The axis along which a load is contiguous, if its whole index is linear."""
    if x.dtype == "bool" or any(isinstance(atom, Loaded) for atom in index_atoms(x)):
        return None
    if any(linear_part(x.index[0], axis) is None for axis in flat.axes):
        return None
    return next((axis for axis in flat.axes[:-1] if step_of(x.index[0], axis) == 1), None)


def emit_tiles(kernel: KernelFunction, stores: Sequence[Store], across: Axis, begin: Value, end: Value, along: Axis, lanes: int) -> None:
    """One row of tiles: `across` in [begin, end), which is at most `lanes` long, and all of `along`."""
    f, emitter = kernel.f, kernel.emitter
    size = emitter.index(along.size)
    fits = f.compare("eq", f.sub(end, begin), I64.const(lanes))
    split = f.select(fits, f.sub(size, f.emit(I64, f"urem {size.typed}, {lanes}")), I64.const(0))
    with f.loop(I64.const(0), split, lanes) as loop:
        _tile(kernel, stores, across, begin, along, loop.index, lanes)
    with f.loop(begin, end) as loop, emitter.binding(across, loop.index):
        vector_loop(kernel, along, split, size, lanes, lanes, lambda: store_all(emitter, stores))


def _tile(kernel: KernelFunction, stores: Sequence[Store], across: Axis, top: Value, along: Axis, left: Value, lanes: int) -> None:
    f, emitter = kernel.f, kernel.emitter
    columns: dict[int, list[Value]] = {}
    for read in crossing_reads(stores, along):
        rows = []
        for k in range(lanes):
            with f.apart(), emitter.binding(along, f.add(left, I64.const(k))), emitter.vector(across, top, lanes, None):
                rows.append(emitter.spread(emitter.value(read)))
        columns[read.number] = transpose(f, rows)
    for k in range(lanes):
        with f.apart(), emitter.binding(across, f.add(top, I64.const(k))), emitter.vector(along, left, lanes, None):
            emitter.sums = {number: column[k] for number, column in columns.items()}
            store_all(emitter, stores)
    emitter.sums = {}
