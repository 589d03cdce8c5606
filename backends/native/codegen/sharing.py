"""Nests that differ in numbers only, as one: larger sizes and strides become symbols, which the code takes as arguments."""

from __future__ import annotations

from collections.abc import Sequence

from graphdl.kernel.expression import (
    Axis,
    Buffer,
    Expr,
    IndexValue,
    Load,
    Reduce,
    axes_of,
    fresh_axis,
    index_value,
    load,
    transform,
    walk,
)
from graphdl.kernel.program import Store
from graphdl.sizes import Atom, Dim, SymbolAtom, as_size, content, terms_of

from .affine import Flat, go_as_one, linear_part, offsets_of, rename

FEW_LOADS = 6  # of a kernel whose slices' beginnings may be arguments: each takes a register
LARGE = 16  # sizes and strides from here on are arguments of shared kernels; smaller ones are worth code of their own


def share(flat: Flat, kept: Axis | None = None) -> tuple[Flat, dict[Atom, Dim]]:
    """The nest with its larger sizes and strides as symbols, and their values: nests that differ only in them get one code.

    Of a symbolic size or stride it is the number that divides it: 96*H*W and 42*H*W are one. Every place gets a symbol of its own,
    so that which of the numbers happen to be equal does not matter; equal places of one buffer get the same, so that equal
    reductions stay one expression. The axis `kept` keeps its size. Where a load goes through several reduced axes
    as through one, their numbers stay: they are what tells it.
    """
    sharing = _Sharing(flat, kept)
    return sharing.shared(), sharing.values


class _Sharing:
    """Numbers of a nest that become symbols, and what they stand for. Equal places of one buffer get the same symbol."""

    def __init__(self, flat: Flat, kept: Axis | None) -> None:
        reductions = list(dict.fromkeys(x for store in flat.stores for x in walk(store.value) if isinstance(x, Reduce)))
        united = {x: _united_axes(x) for x in reductions}
        told = {axis for axes in united.values() for axis in axes[1:]} | {kept}
        reduced = [axis for x in reductions for axis in x.reduced]
        self.values: dict[Atom, Dim] = {}
        self.renamed = {axis: fresh_axis(axis.size if axis in told else self._named(axis.size)) for axis in dict.fromkeys((*flat.axes, *reduced))}
        self.groups = [[self.renamed[axis] for axis in axes] for axes in united.values() if axes]
        axes = tuple(self.renamed[axis] for axis in flat.axes)
        self.flat = rename(flat, {old: as_size(new) for old, new in self.renamed.items()}, axes, {old: (new,) for old, new in self.renamed.items()})
        self.begins_vary = sum(isinstance(x, Load) for x in walk(*(store.value for store in flat.stores))) <= FEW_LOADS
        self.offsets: dict[tuple[Buffer, Dim], Dim] = {}

    def shared(self) -> Flat:
        """The nest over symbols."""
        stores = [Store(s.buffer, s.axes, (self._offset(s.buffer, s.index[0]),), transform(s.value, self._leaf)) for s in self.flat.stores]
        return Flat(self.flat.axes, tuple(stores))

    def _named(self, size: Dim) -> Dim:
        number = content(size)
        if number < LARGE:
            return size
        atom = SymbolAtom(f"#{len(self.values)}")
        self.values[atom] = number
        return size // number * as_size(atom)

    def _leaf(self, x: Expr) -> Expr | None:
        if isinstance(x, IndexValue):
            return index_value(self._begin(x.index))
        return load(x.buffer, (self._offset(x.buffer, x.index[0]),)) if isinstance(x, Load) else None

    def _offset(self, buffer: Buffer, offset: Dim) -> Dim:
        if (buffer, offset) not in self.offsets:
            self.offsets[buffer, offset] = self._begin(self._strides(offset))
        return self.offsets[buffer, offset]

    def _strides(self, offset: Dim) -> Dim:
        through = {axis for group in self.groups if _goes_through(offset, group) for axis in group}
        for axis in self.renamed.values():
            parts = linear_part(offset, axis)
            if parts is not None and content(parts[0]) >= LARGE and axis not in through:
                offset = self._named(parts[0]) * as_size(axis) + parts[1]
        return offset

    def _begin(self, offset: Dim) -> Dim:
        """The offset with the number that is added to it as a symbol: a slice of one operand is like another."""
        start = dict(terms_of(offset)).get((), 0)
        return offset - start + self._named(start) if self.begins_vary else offset


def _united_axes(x: Reduce) -> list[Axis]:
    """All reduced axes if there are several and some load goes through them as through one."""
    axes = list(x.reduced)
    return axes if len(axes) > 1 and any(_goes_through(offset, axes) for offset in offsets_of(x.body)) else []


def _goes_through(offset: Dim, axes: Sequence[Axis]) -> bool:
    used = any(axis in axes_of(offset) for axis in axes)
    return used and go_as_one(offset, axes)
