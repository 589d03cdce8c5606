"""Reductions of everything to one number, in two kernels, so that threads can share the work.

    loss = sum(i < N, j < C: f(i, j))   ->   partial[c] = sum(i in rows of c, j < C: f(i, j));   loss = sum(c: partial[c])

How it is cut depends on the sizes alone, and so the same bits come out for any number of threads.
"""

from __future__ import annotations

import math

from ..kernel.expression import Axis, Buffer, Expr, Load, Reduce, compare, const, fresh_axis, guard, load, reduce, substitute_axes, transform, walk
from ..kernel.program import Kernel, Program, Step, Store
from ..sizes import Dim, as_size, ceildiv, product
from ..types import TensorType, is_floating

PART = 8192  # elements of one part, as far as sizes are known
_NEUTRAL = {"sum": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}
WORTH = 65536  # elements from which threads gain anything


def split_reductions(program: Program) -> None:
    """Cut the large ones among the kernels of `program` that reduce to a number."""
    steps: list[Step] = []
    for step in program.steps:
        x = _large_reduction(step) if isinstance(step, Kernel) else None
        steps += [step] if x is None else _split(program, step, x)
    program.steps[:] = steps


def _large_reduction(kernel: Kernel) -> Reduce | None:
    """The one reduction of a kernel, if it is large, or over several axes and so probably large."""
    found = list(dict.fromkeys(x for x in walk(*kernel.values) if isinstance(x, Reduce)))
    if kernel.axes or len(found) != 1 or found[0].kind not in _NEUTRAL or not is_floating(found[0].dtype):
        return None
    size = product(axis.size for axis in found[0].reduced)
    large = size >= WORTH if isinstance(size, int) else len(found[0].reduced) > 1
    return found[0] if large and any(isinstance(x, Load) for x in walk(found[0].body)) else None


def _split(program: Program, kernel: Kernel, x: Reduce) -> list[Kernel]:
    first, *inner = x.reduced
    step = _rows(inner)
    parts = ceildiv(first.size, step)
    partial = Buffer("partial", TensorType(x.dtype, (parts,)), "temporary")
    program.temporaries.append(partial)
    part, row, again = fresh_axis(parts, "i"), fresh_axis(step), fresh_axis(parts)
    place = as_size(part) * step + as_size(row)
    body = substitute_axes(x.body, {first: place})
    if parts * step != first.size:
        body = guard(compare("less", place, first.size), body, const(_NEUTRAL[x.kind], x.dtype))
    own = Store(partial, (part,), (as_size(part),), reduce(x.kind, (row, *inner), body))
    total = reduce(x.kind, (again,), load(partial, (as_size(again),)))

    def joined(y: Expr) -> Expr | None:
        return total if y is x else None

    stores = tuple(Store(store.buffer, store.axes, store.index, transform(store.value, joined)) for store in kernel.stores)
    return [Kernel(kernel.name, (part,), (own,), kernel.origins), Kernel(f"{kernel.name}_total", (), stores, ())]


def _rows(inner: list[Axis]) -> int:
    """How many steps of the first axis make a part."""
    size: Dim = product(axis.size for axis in inner)
    return max(PART // max(size, 1), 1) if isinstance(size, int) else 1
