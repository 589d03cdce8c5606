"""Joined arrays that do not lie in memory as they are joined, such as computed, enlarged or strided ones: a kernel for each part.

    out[c < 7, i] := (x[c, 2i] if c < 3 else exp(y[c - 3, i]))    ->    out[c < 3, i] := x[c, 2i]
                                                                       out[3 + c < 4, i] := exp(y[c, i])

Each part has loops of its own, as it would have without being joined, and computes nothing of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from graphdl.kernel.expression import Axis, Const, Expr, Guard, IndexValue, Load, Reduce, Scalar, fresh_axis, substitute_axes, walk
from graphdl.kernel.program import Kernel, Store
from graphdl.sizes import Atom, Dim, as_size, product, substitute

from .affine import flatten
from .choice import is_choice

MOST_PARTS = 8
SMALL = 4096  # elements that are not worth several launches


def joined_parts(kernel: Kernel) -> tuple[Kernel, ...]:
    """One kernel for each part, or the kernel alone if its parts are loaded from where they are chosen, or nothing is joined."""
    if len(kernel.stores) != 1 or any(isinstance(x, Reduce) for x in walk(*kernel.values)):
        return (kernel,)
    elements = product(axis.size for axis in kernel.axes)
    cuts = {axis: sorted(set(_cuts(kernel, axis))) for axis in kernel.axes[:-1]} if not isinstance(elements, int) or elements >= SMALL else {}
    found = next((axis for axis, places in cuts.items() if 0 < len(places) < MOST_PARTS), None)
    if found is None or not _is_scattered(kernel):
        return (kernel,)
    return tuple(deeper for part in _apart(kernel, found, cuts[found]) for deeper in joined_parts(part))


def _cuts(kernel: Kernel, axis: Axis) -> Iterator[int]:
    """Where the choice between what is loaded changes along an axis of known size."""
    for x in walk(*kernel.values):
        if isinstance(x, Guard) and all(any(isinstance(y, Load) for y in walk(side)) for side in (x.body, x.otherwise)):
            place = _first_beyond(x.predicate, axis)
            if place is not None and isinstance(axis.size, int) and 0 < place < axis.size:
                yield place


def _first_beyond(predicate: Expr, axis: Axis) -> int | None:
    """The k with which `predicate` is: index < k."""
    if not isinstance(predicate, Scalar) or predicate.function != "less":
        return None
    index, bound = predicate.operands
    if not isinstance(index, IndexValue) or not isinstance(bound, Const):
        return None
    beside = index.index - as_size(axis)
    return int(bound.value) - beside if isinstance(beside, int) else None


def _is_scattered(kernel: Kernel) -> bool:
    """Whether some choice is no choice of places only."""
    flat = flatten(kernel)
    return any(isinstance(x, Guard) and not is_choice(x, flat.axes[-1]) for store in flat.stores for x in walk(store.value))


def _apart(kernel: Kernel, axis: Axis, cuts: list[int]) -> Iterator[Kernel]:
    assert isinstance(axis.size, int)
    (store,) = kernel.stores
    for begin, end in zip([0, *cuts], [*cuts, axis.size], strict=True):
        own = fresh_axis(end - begin, axis.key[:1])
        place: dict[Atom, Dim] = {axis: as_size(own) + begin}
        axes = tuple(own if one == axis else one for one in kernel.axes)
        index = tuple(substitute(part, place) for part in store.index)
        yield replace(kernel, axes=axes, stores=(Store(store.buffer, axes, index, substitute_axes(store.value, place)),))
