"""Sums of products, and how their operands lie in memory."""

from __future__ import annotations

from dataclasses import replace

from graphdl.kernel.expression import Axis, Expr, Load, Reduce, axes_of, parts_of, walk
from graphdl.kernel.program import Store
from graphdl.record import record
from graphdl.sizes import Dim, as_size, product, terms_of

from ..contraction import Integers, Traits
from ..contraction.interface import Axis as Side
from .affine import linear_part, step_of
from .pieces import Pieces


@record
class Product:
    """out[batch, m, n] = stores of sum_k a * b, every group of axes made one axis."""

    reduction: Reduce
    a: Expr
    b: Expr
    batch: Axis
    m: Axis
    n: Axis
    k: Axis
    stores: tuple[Store, ...]
    pieces: Pieces | None = None  # how b lies in memory, if it is read piece by piece
    zero: Expr | None = None  # what is taken off all numbers of a row of a, if those are 8-bit integers

    @property
    def integers(self) -> Integers | None:
        """What the engine must know of a product of 8-bit integers; None if it is one of floats."""
        signed = self.a.dtype == "int8", self.b.dtype == "int8"
        return Integers(*signed, self.zero is not None) if self.reduction.dtype == "int32" else None

    @property
    def shape(self) -> tuple[Dim, Dim, Dim, Dim]:
        return self.batch.size, self.m.size, self.n.size, self.k.size


def strides_of(offset: Dim, axes: tuple[Axis, Axis, Axis]) -> tuple[Dim, Dim, Dim, Dim] | None:
    """(rest, stride of each axis) of a linear offset, or None."""
    strides = []
    for axis in axes:
        parts = linear_part(offset, axis)
        if parts is None:
            return None
        strides.append(parts[0])
        offset = parts[1]
    return offset, strides[0], strides[1], strides[2]


def separated(offset: Dim, free: Axis, k: Axis) -> tuple[Dim, Dim] | None:
    """(origin, offset of k) of an offset that is `free` plus a part without k and a part of k alone; None if it is not so."""
    parts = linear_part(offset, free)
    if parts is None or parts[0] != 1:
        return None
    origin: Dim = 0
    moved: Dim = 0
    for monomial, factor in terms_of(parts[1]):
        term = product(map(as_size, monomial)) * factor
        used = axes_of(term)
        if k not in used:
            origin = origin + term
        elif used == {k}:
            moved = moved + term
        else:
            return None
    return origin, moved


def traits_of(x: Expr, p: Product, free: Axis) -> Traits:
    """What the schedule must know of an operand."""
    strides = strides_of(x.index[0], (p.batch, free, p.k)) if isinstance(x, Load) else None
    contiguous: Side | None = None
    loads = [y for y in walk(x) if isinstance(y, Load)]
    if loads and all(step_of(y.index[0], free) == 1 or (free not in y.axes and p.k not in y.axes) for y in loads):
        contiguous = "mn"
    elif loads and all(step_of(y.index[0], p.k) == 1 or (free not in y.axes and p.k not in y.axes) for y in loads):
        contiguous = "k"
    if strides is not None:
        contiguous = "mn" if strides[2] == 1 else "k" if strides[3] == 1 else None
    plain = isinstance(x, Load) and not has_data_index(x)
    indexed = plain and strides is None and separated(x.index[0], free, p.k) is not None  # type: ignore[attr-defined]
    return Traits(contiguous, strides is not None and plain, p.batch in x.axes, indexed)


def left_traits(p: Product) -> Traits:
    """The traits of `p.a`."""
    found = traits_of(p.a, p, p.m)
    if p.integers is not None:
        return _packed(found)
    return found if p.pieces is None or found.is_direct else replace(found, contiguous=None, is_indexed=False)


def right_traits(p: Product) -> Traits:
    """The traits of `p.b`, in pieces or not."""
    if p.pieces is not None:
        pieces = p.pieces
        batched = p.batch in pieces.element.axes
        return Traits(None, False, batched, taps=pieces.depth, in_runs=pieces.in_runs, is_one_run=pieces.run == 0)
    found = traits_of(p.b, p, p.n)
    return found if p.integers is None else _packed(found)


def _packed(found: Traits) -> Traits:
    """The traits of bytes, which are always packed."""
    return replace(found, is_direct=False, is_indexed=False)


def has_data_index(x: Expr) -> bool:
    """Whether an index from data is read to find what `x` loads."""
    return bool(parts_of(x))
