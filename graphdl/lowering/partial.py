"""Reductions of everything to one number, in two kernels, so that threads can share the work.

    loss = sum(i < N, j < C: f(i, j))   ->   partial[i] = sum(j < C: f(i, j));   loss = sum(i: partial[i])

How it is cut depends on the sizes alone, and so the same bits come out for any number of threads.
"""

from __future__ import annotations

from ..kernel.expression import Buffer, Expr, Reduce, fresh_axis, load, reduce, substitute_axes, transform, walk
from ..kernel.program import Kernel, Program, Step, Store
from ..sizes import as_size, floordiv, product
from ..types import TensorType

PART = 8192  # elements of one part, if it may be cut so
ROW = 256  # elements from which a row makes a part of its own
WORTH = 65536  # elements from which threads gain anything


def split_reductions(program: Program) -> None:
    """Cut the large ones among the kernels of `program` that reduce to a number."""
    steps: list[Step] = []
    for step in program.steps:
        steps += _parts(program, step) if isinstance(step, Kernel) and not step.axes else [step]
    program.steps[:] = steps


def _parts(program: Program, kernel: Kernel) -> list[Kernel]:
    """The kernel, in two if its one reduction is large and can be cut into equal parts."""
    found = list(dict.fromkeys(x for x in walk(*kernel.values) if isinstance(x, Reduce)))
    if len(found) != 1 or found[0].kind not in ("sum", "prod", "max", "min"):
        return [kernel]
    length = _length(found[0])
    return [kernel] if length is None else _split(program, kernel, found[0], length)


def _length(x: Reduce) -> int | None:
    """How many steps of the first axis make a part; None if it is not to be cut."""
    first, *others = x.reduced
    inner = product(axis.size for axis in others)
    if not isinstance(inner, int):
        return 1
    if not isinstance(first.size, int):
        return 1 if inner >= ROW else None
    if first.size * inner < WORTH:
        return None
    longest = max(PART // max(inner, 1), 1)
    return max((length for length in range(1, longest + 1) if first.size % length == 0 and length * inner >= ROW), default=None)


def _split(program: Program, kernel: Kernel, x: Reduce, length: int) -> list[Kernel]:
    first, *inner = x.reduced
    parts = floordiv(first.size, length)
    partial = Buffer("partial", TensorType(x.dtype, (parts,)), "temporary")
    program.temporaries.append(partial)
    part, row, again = fresh_axis(parts, "i"), fresh_axis(length), fresh_axis(parts)
    body = substitute_axes(x.body, {first: as_size(part) * length + as_size(row) if length > 1 else as_size(part)})
    own = Store(partial, (part,), (as_size(part),), reduce(x.kind, (*([row] if length > 1 else []), *inner), body))
    total = reduce(x.kind, (again,), load(partial, (as_size(again),)))

    def joined(y: Expr) -> Expr | None:
        return total if y is x else None

    stores = tuple(Store(store.buffer, store.axes, store.index, transform(store.value, joined)) for store in kernel.stores)
    of = kernel.origins, kernel.node
    return [Kernel(kernel.name, (part,), (own,), *of), Kernel(f"{kernel.name}_total", (), stores, *of)]
