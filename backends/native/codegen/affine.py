"""Index arithmetic of kernels: flat offsets, linear parts, and axes merged or split so that inner loops are long and plain."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from graphdl.kernel.expression import (
    Axis,
    Buffer,
    Expr,
    IndexValue,
    Load,
    Loaded,
    Reduce,
    axes_of,
    fresh_axis,
    index_atoms,
    index_value,
    load,
    reduce,
    substitute_axes,
    transform,
    walk,
)
from graphdl.kernel.program import Kernel, Store
from graphdl.record import record
from graphdl.sizes import Atom, Combined, Dim, Substitution, as_size, atoms_of, divides, linear_in, product, substitute, terms_of
from graphdl.types import Shape

from .recombination import recombined
from .strided import MOST, is_strided


def strides_of(shape: Shape) -> tuple[Dim, ...]:
    """Row-major strides in elements."""
    return tuple(product(shape[k + 1 :]) for k in range(len(shape)))


def flat_offset(shape: Shape, index: tuple[Dim, ...]) -> Dim:
    """The row-major position of an element, in elements."""
    return sum((part * stride for part, stride in zip(index, strides_of(shape), strict=True)), 0)


def linear_part(index: Dim, axis: Axis) -> tuple[Dim, Dim] | None:
    """(coefficient, rest) with index == coefficient * axis + rest, neither containing `axis`; None if it is not so."""
    inner = (atom for monomial, _ in terms_of(index) for atom in monomial if isinstance(atom, (Combined, Loaded)))
    return None if any(axis in axes_of(as_size(atom)) for atom in inner) else linear_in(index, axis)


def step_of(index: Dim, axis: Axis) -> Dim | None:
    """By how many elements an offset moves along an axis; None if that is no one number."""
    parts = linear_part(index, axis)
    return None if parts is None else parts[0]


@record
class Flat:
    """A kernel whose every load and store has one flat index, with its loops merged where that changes nothing."""

    axes: tuple[Axis, ...]
    stores: tuple[Store, ...]


class _Flattener:
    """One flat view per storage, so that equal loads stay one expression."""

    def __init__(self) -> None:
        self.views: dict[Buffer, Buffer] = {}

    def view(self, buffer: Buffer) -> Buffer:
        storage = buffer.storage
        if storage not in self.views:
            self.views[storage] = Buffer(storage.name, storage.type.with_shape((storage.type.size,)), storage.kind, base=storage)
        return self.views[storage]

    def expression(self, root: Expr) -> Expr:
        def leaf(x: Expr) -> Expr | None:
            if not isinstance(x, Load):
                return index_value(self.index(x.index)) if isinstance(x, IndexValue) and _has_loaded(x.index) else None
            index = tuple(self.index(part) for part in x.index)
            return load(self.view(x.buffer), (recombined(flat_offset(x.buffer.type.shape, index) + x.buffer.offset),))

        return transform(root, leaf)

    def index(self, index: Dim) -> Dim:
        """Loaded indices have expressions inside, which have loads."""
        if isinstance(index, int) or not _has_loaded(index):
            return index
        loaded = [atom for atom in atoms_of(index) if isinstance(atom, Loaded)]
        return substitute(index, {atom: as_size(Loaded(self.expression(atom.value), atom.size, atom.site, atom.wraps)) for atom in loaded})


def _has_loaded(index: Dim) -> bool:
    return any(isinstance(atom, Loaded) for atom in atoms_of(index))


def flat_stores(stores: Sequence[Store]) -> tuple[Store, ...]:
    """The stores with one flat index for every access."""
    flattener = _Flattener()

    def flat(store: Store) -> Store:
        offset = flat_offset(store.buffer.type.shape, tuple(flattener.index(part) for part in store.index)) + store.buffer.offset
        return Store(flattener.view(store.buffer), store.axes, (offset,), flattener.expression(store.value))

    return tuple(map(flat, stores))


def flatten(kernel: Kernel) -> Flat:
    """Flat indices, axes split where a division asks for it, then merged as far as every access allows; no stores of nothing."""
    stores = flat_stores([store for store in kernel.stores if all(axis.size != 0 for axis in store.axes)])
    flat = _without_units(Flat(max((store.axes for store in stores), key=len, default=()), stores))
    flat = _split_axes(flat)
    flat = _with_long_vectors(_merge_domain(flat))
    merged: dict[Expr, Expr] = {}
    return replace(flat, stores=tuple(replace(store, value=merge_reduced(store.value, merged)) for store in flat.stores))


def rename(flat: Flat, values: dict[Atom, Dim], axes: tuple[Axis, ...], dropped: dict[Axis, tuple[Axis, ...]]) -> Flat:
    """The nest over other axes: what stands for each old one in indices, and which of the new ones stores have in its place."""

    def own(store: Store) -> tuple[Axis, ...]:
        return tuple(new for axis in store.axes for new in dropped.get(axis, (axis,)))

    known = Substitution(values)
    stores = tuple(Store(s.buffer, own(s), (substitute(s.index[0], known),), substitute_axes(s.value, known)) for s in flat.stores)
    return Flat(axes, stores)


def _without_units(flat: Flat) -> Flat:
    """Axes of size 1 are index 0."""
    units = [axis for axis in flat.axes if axis.size == 1]
    if not units:
        return flat
    kept = tuple(axis for axis in flat.axes if axis.size != 1)
    return rename(flat, dict.fromkeys(units, 0), kept, dict.fromkeys(units, ()))


def _split_axes(flat: Flat) -> Flat:
    """An axis c that is used as c // d and c % d becomes two axes, and the divisions disappear."""
    for axis in flat.axes:
        divisor = next(iter(_divisors_of(flat, axis)), None)
        if divisor is None or (axis == flat.axes[-1] and _leaves_crumbs(_divisors_of(flat, axis))):
            continue
        quotient = divides(divisor, axis.size)
        assert quotient is not None
        high, low = fresh_axis(quotient, "i"), fresh_axis(divisor, "i")
        axes = tuple(new for one in flat.axes for new in ((high, low) if one == axis else (one,)))
        return _split_axes(rename(flat, {axis: as_size(high) * divisor + as_size(low)}, axes, {axis: (high, low)}))
    return flat


def _divisors_of(flat: Flat, axis: Axis) -> list[Dim]:
    """By what an axis is divided somewhere that divides its size, in the order of appearance."""
    found: dict[Dim, None] = {}
    for store in flat.stores:
        for atom in (*index_atoms(store.value), *atoms_of(store.index[0])):
            if isinstance(atom, Combined) and atom.function in ("floordiv", "mod") and atom.left == as_size(axis):
                quotient = divides(atom.right, axis.size)
                if quotient is not None and quotient != 1 and atom.right != 1:
                    found[atom.right] = None
    return list(found)


def _leaves_crumbs(divisors: Sequence[Dim]) -> bool:
    """Whether splitting by all of them ends in two axes of a few elements each, along which there are no vectors: pictures enlarged 2 and 4 times.

    Then lanes run along the whole axis, and what they divide is gathered.
    """
    known = sorted(divisor for divisor in divisors if isinstance(divisor, int))
    return len(known) > 1 and known[0] <= MOST and known[1] <= MOST * known[0]


def _merge_domain(flat: Flat) -> Flat:
    """Neighbouring axes a, b become one wherever every offset moves by size(b) steps of b for one of a."""
    for first, second in zip(flat.axes, flat.axes[1:], strict=False):
        together = all((first in store.axes) == (second in store.axes) for store in flat.stores)
        indices = [part for store in flat.stores for part in (store.index[0], *offsets_of(store.value))]
        alike = together and all(is_mergeable(index, first, second) for index in indices)
        if not alike or any(_used_otherwise(s.value, first, second) for s in flat.stores):
            continue
        merged = fresh_axis(first.size * second.size, "i")
        axes = tuple(merged if axis == first else axis for axis in flat.axes if axis != second)
        values: dict[Atom, Dim] = {first: 0, second: as_size(merged)}
        return _merge_domain(rename(flat, values, axes, {first: (merged,), second: ()}))
    return flat


def _with_long_vectors(flat: Flat) -> Flat:
    """A last axis of a few elements changes places with the one before, if vectors along that one are loaded and stored well."""
    if len(flat.axes) < 2 or any(store.axes != flat.axes or _has_reduction(store.value) for store in flat.stores):
        return flat
    *outer, long, short = flat.axes
    few = isinstance(short.size, int) and short.size <= MOST and not (isinstance(long.size, int) and long.size <= MOST)
    offsets = [part for store in flat.stores for part in (store.index[0], *offsets_of(store.value))]
    if not few or not all(_is_dense(offset, long) for offset in offsets):
        return flat
    axes = (*outer, short, long)
    return Flat(axes, tuple(replace(store, axes=axes) for store in flat.stores))


def _has_reduction(root: Expr) -> bool:
    return any(isinstance(x, Reduce) for x in walk(root))


def _is_dense(offset: Dim, axis: Axis) -> bool:
    """Whether neighbours along the axis are one element, or stand so close that vectors pass over what is between."""
    parts = linear_part(offset, axis)
    return parts is not None and (parts[0] in (0, 1) or is_strided(parts[0]))


def merge_reduced(root: Expr, merged: dict[Expr, Expr]) -> Expr:
    """The same for the axes of reductions. `merged` holds those found so far, so that equal ones stay one expression."""

    def leaf(x: Expr) -> Expr | None:
        if not isinstance(x, Reduce):
            return None
        if x not in merged:
            merged[x] = fewer_axes(x)
        return merged[x]

    def fewer_axes(x: Reduce) -> Expr:
        body = merge_reduced(x.body, merged)
        axes = list(x.reduced)
        units: dict[Atom, Dim] = {axis: 0 for axis in axes if axis.size == 1}
        if units and len(units) < len(axes):
            body, axes = substitute_axes(body, units), [axis for axis in axes if axis not in units]
        k = 0
        while x.kind not in ("argmax", "argmin") and k + 1 < len(axes):
            first, second = axes[k], axes[k + 1]
            if all(is_mergeable(index, first, second) for index in offsets_of(body)) and not _used_otherwise(body, first, second):
                both = fresh_axis(first.size * second.size)
                body = substitute_axes(body, {first: 0, second: as_size(both)})
                axes[k : k + 2] = [both]
            else:
                k += 1
        return reduce(x.kind, tuple(axes), body)

    return transform(root, leaf)


def offsets_of(root: Expr) -> list[Dim]:
    """The offsets of all loads in flat expressions."""
    return [x.index[0] for x in walk(root) if isinstance(x, Load)]


def is_mergeable(index: Dim, first: Axis, second: Axis) -> bool:
    """Whether an offset moves by size(second) steps of the second for one of the first."""
    a, b = linear_part(index, first), linear_part(index, second)
    return a is not None and b is not None and a[0] == b[0] * second.size


def go_as_one(index: Dim, axes: Sequence[Axis]) -> bool:
    """Whether an offset goes through neighbouring axes as through one."""
    return all(is_mergeable(index, first, second) for first, second in itertools.pairwise(axes))


def _used_otherwise(root: Expr, first: Axis, second: Axis) -> bool:
    """Whether an index value or a reduction's extent names one of the axes."""
    return any(isinstance(x, IndexValue) and not axes_of(x.index).isdisjoint((first, second)) for x in walk(root))
