"""Reductions whose results lie beside each other and are of elements that they share, such as the taps of a kernel's gradient: all at once.

    out[i.., r..] = sum(k: a[i.., k] * b[i.., k, r..])

One after the other each would wait for its own last sum, and load what they share anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack

from graphdl.kernel.expression import Axis, Load, Reduce, substitute_axes, walk
from graphdl.kernel.program import Store
from graphdl.sizes import Atom, Dim, content, product

from ..llvm import I64, Value
from .affine import Flat
from .emitter import Emitter
from .loops import store_all
from .reduction import OTHERS, emit_together
from .registers import REGISTER

LEAST_TASKS = 8  # that are left for threads
HEAVY = 4  # scalar operations and loads of an element, from which registers would spill


def axes_beside(flat: Flat, registers: int) -> int:
    """How many of the last axes have their results reduced at once; 0 if that gains nothing."""
    found = dict.fromkeys(x for store in flat.stores for x in walk(store.value) if isinstance(x, Reduce))
    if len(found) != 1 or any(store.axes != flat.axes for store in flat.stores):
        return 0
    (x,) = found
    if x.kind.startswith("arg") or sum(1 for _ in walk(x.body)) > HEAVY or x.dtype not in ("float32", "float64"):
        return 0
    return max((count for count in range(1, len(flat.axes)) if _fits(flat, x, count, registers)), default=0)


def _fits(flat: Flat, x: Reduce, count: int, registers: int) -> bool:
    """Whether the results along so many axes fill no more registers than there are, share a load, and leave tasks enough."""
    beside, size = set(flat.axes[-count:]), product(axis.size for axis in flat.axes[-count:])
    few = isinstance(size, int) and 1 < size <= registers - OTHERS
    is_shared = any(isinstance(y, Load) and y.axes.isdisjoint(beside) and not y.axes.isdisjoint(x.reduced) for y in walk(x.body))
    return few and is_shared and content(product(axis.size for axis in flat.axes[:-count])) >= LEAST_TASKS


def emit_beside(emitter: Emitter, stores: Sequence[Store], axes: Sequence[Axis]) -> None:
    """The stores at all places along the axes."""
    f = emitter.f
    (x,) = dict.fromkeys(y for store in stores for y in walk(store.value) if isinstance(y, Reduce))
    type = REGISTER[x.dtype]
    places = itertools.product(*(range(axis.size) for axis in axes if isinstance(axis.size, int)))
    numbers: list[dict[Atom, Dim]] = [dict(zip(axes, place, strict=True)) for place in places]
    held = f.alloca(type, len(numbers))
    for k, value in enumerate(emit_together(emitter, x, [substitute_axes(x.body, one) for one in numbers])):
        f.store(value, f.offset(held, I64.const(k), type.scalar))
    with ExitStack() as bound:
        place: Value = I64.const(0)
        for axis in axes:
            loop = bound.enter_context(f.loop(I64.const(0), emitter.index(axis.size)))
            bound.enter_context(emitter.binding(axis, loop.index))
            place = f.add(f.mul(place, emitter.index(axis.size)), loop.index)
        emitter.sums[x.number] = f.load(f.offset(held, place, type.scalar), type)
        store_all(emitter, stores)
    emitter.sums = {}
