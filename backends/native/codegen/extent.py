"""Sizes that the program computes, such as (H + 1) // 2, as arguments of kernels: those of every stage of a pyramid are then one."""

from __future__ import annotations

from collections.abc import Iterator

from graphdl.kernel.expression import Axis, Reduce, fresh_axis, index_atoms, substitute_axes, walk
from graphdl.kernel.program import Store
from graphdl.sizes import Atom, Combined, Dim, Substitution, SymbolAtom, as_size, atoms_of, substitute

from .affine import Flat


def name_extents(flat: Flat) -> tuple[Flat, dict[Atom, Dim]]:
    """The nest with every division, modulus, minimum and maximum of sizes alone as a symbol, and their values."""
    reduced = [axis for store in flat.stores for x in walk(store.value) if isinstance(x, Reduce) for axis in x.reduced]
    axes = list(dict.fromkeys((*flat.axes, *reduced)))
    extents = dict.fromkeys(atom for size in _sizes(flat, axes) for atom in _extents(size))
    symbols = {SymbolAtom(f"#s{k}"): extent for k, extent in enumerate(extents)}
    if not symbols:
        return flat, {}
    known = Substitution({extent: as_size(name) for name, extent in symbols.items()})
    renamed = {axis: fresh_axis(substitute(axis.size, known)) for axis in axes}
    known.update((old, as_size(new)) for old, new in renamed.items())
    stores = tuple(
        Store(store.buffer, tuple(renamed[axis] for axis in store.axes), (substitute(store.index[0], known),), substitute_axes(store.value, known))
        for store in flat.stores
    )
    return Flat(tuple(renamed[axis] for axis in flat.axes), stores), {name: as_size(extent) for name, extent in symbols.items()}


def _sizes(flat: Flat, axes: list[Axis]) -> Iterator[Dim]:
    """Every size that the nest computes with, in order of appearance."""
    yield from (axis.size for axis in axes)
    for store in flat.stores:
        yield store.index[0]
        yield from (as_size(atom) for atom in index_atoms(store.value) if isinstance(atom, Combined))


def _extents(size: Dim) -> Iterator[Combined]:
    """The largest parts of `size` that are no polynomials and hold nothing but the program's symbols."""
    for atom in atoms_of(size):
        if isinstance(atom, Combined) and atom.is_nonnegative() and all(type(inner) is SymbolAtom or isinstance(inner, Combined) for inner in atom.atoms()):
            yield atom
