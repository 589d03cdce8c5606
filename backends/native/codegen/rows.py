"""Values that several loops over one row need, computed once into a buffer of the row: the exponentials of a softmax.

out[i, j] = exp(x[i, j] - m) / sum(r: exp(x[i, r] - m))   ->   row[j] = exp(x[i, j] - m);  out[i, j] = row[j] / sum(r: row[r])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from graphdl.kernel.expression import Axis, Buffer, Expr, Load, Reduce, Scalar, load, rebuild, substitute_axes, transform, walk
from graphdl.kernel.functions import TABLE
from graphdl.kernel.program import Store
from graphdl.record import record
from graphdl.sizes import as_size
from graphdl.types import TensorType

from .affine import linear_part

HEAVY = 10  # scalar operations from which loading a value is cheaper than computing it again
LONGEST = 16384  # elements of a row that fit on the stack, and in the second-level cache


@record
class Accumulated:
    """A reduction over the row, whose body is there as soon as the row's value at a place is."""

    reduction: Reduce
    body: Expr


@record
class Row:
    """One buffer of a row: `buffer[axis] := value` before anything reads it, and the reductions that can go along."""

    buffer: Buffer
    value: Expr
    accumulated: tuple[Accumulated, ...] = ()


def keep_values(stores: Sequence[Store], axis: Axis, row: Axis) -> tuple[list[Row], list[Store]]:
    """What to keep of a row along `axis`, in the order in which to compute it, and the stores that load it.

    `row` is an axis of size 1 on which what is loaded depends, so that it is loaded where that axis is open and nowhere before.
    """
    reductions = [x for x in walk(*(store.value for store in stores)) if isinstance(x, Reduce) and _runs_along(x, axis)]
    found: Counter[Expr] = Counter()
    for x in dict.fromkeys(reductions):
        found.update({substitute_axes(y, {x.reduced[0]: as_size(axis)}) for y in _heavy(x.body, x.reduced[0])})
    found.update({y for store in stores for y in _heavy(store.value, axis)})
    kept = sorted((y for y, times in found.items() if times > 1), key=lambda y: y.number)
    if not kept:
        return [], list(stores)
    buffers = {y: Buffer(f"row{k}", TensorType(y.dtype, (axis.size,)), "temporary") for k, y in enumerate(kept)}
    loads: dict[int, Expr] = {}
    for along in (axis, *(x.reduced[0] for x in reductions)):
        place = as_size(along) + as_size(row)
        loads |= {substitute_axes(y, {axis: as_size(along)}).number: load(buffer, (place,)) for y, buffer in buffers.items()}

    def loaded(root: Expr) -> Expr:
        return transform(root, lambda x: loads.get(x.number))

    values = [rebuild(y, tuple(map(loaded, y.operands))) for y in kept]
    stores = [replace(store, value=loaded(store.value)) for store in stores]
    rows = [Row(buffer, value) for buffer, value in zip(buffers.values(), values, strict=True)]
    readers = [*values, *(store.value for store in stores)]
    return [replace(row, accumulated=tuple(_accumulated(rows, k, readers[k + 1 :], axis))) for k, row in enumerate(rows)], stores


def _accumulated(rows: Sequence[Row], place: int, readers: Sequence[Expr], axis: Axis) -> Iterator[Accumulated]:
    """The reductions of later expressions that read this row, and nothing that comes after it."""
    row, later = rows[place], {row.buffer for row in rows[place + 1 :]}
    for x in walk(*readers):
        if not isinstance(x, Reduce) or x.kind.startswith("arg") or not _runs_along(x, axis):
            continue
        read = {y.buffer for y in walk(x.body) if isinstance(y, Load)}
        inner = {y.buffer for z in walk(x.body) if isinstance(z, Reduce) for y in walk(z) if isinstance(y, Load)}
        if row.buffer in read - inner and not later & read:
            body = transform(x.body, lambda y: row.value if isinstance(y, Load) and y.buffer is row.buffer else None)
            yield Accumulated(x, substitute_axes(body, {x.reduced[0]: as_size(axis)}))


def _runs_along(x: Reduce, axis: Axis) -> bool:
    return len(x.reduced) == 1 and x.reduced[0].size == axis.size and axis not in x.body.axes


def _heavy(root: Expr, axis: Axis) -> Iterator[Expr]:
    """The largest expensive parts of an expression that vary along `axis`, outside of its reductions."""
    stack, seen = [root], set[int]()
    while stack:
        x = stack.pop()
        if x.number in seen or axis not in x.axes or isinstance(x, Reduce):
            continue
        seen.add(x.number)
        if isinstance(x, Scalar) and TABLE[x.function].flops >= HEAVY and x.dtype in ("float32", "float64"):
            yield x
        else:
            stack.extend(x.operands)


def may_use_output(rows: Sequence[Row], stores: Sequence[Store], axis: Axis) -> bool:
    """Whether the row that is written may hold the one row that is kept: nothing else is read along it afterwards."""
    if len(rows) != 1 or len(stores) != 1 or stores[0].value.dtype != rows[0].buffer.type.dtype:
        return False
    parts = linear_part(stores[0].index[0], axis)
    others = [x for x in walk(stores[0].value) if isinstance(x, Load) and x.buffer is not rows[0].buffer and axis in x.axes]
    return parts is not None and parts[0] == 1 and not others
