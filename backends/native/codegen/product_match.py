"""Sums of products, recognised in a kernel and cut into batch, rows, columns and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphdl.kernel.expression import Axis, Expr, Load, Reduce, Scalar, fresh_axis, substitute_axes, walk
from graphdl.kernel.program import Store
from graphdl.sizes import Atom, Dim, as_size, floordiv, mod, product, substitute

from .affine import Flat
from .byte_side import bytes_of
from .pieces import Pieces, pieces_of
from .product import Product, has_data_index, strides_of, traits_of
from .recombination import recombined_loads

FEW_COLUMNS = 16
SHORT_SUM = 64


def match_product(shared: Flat, flat: Flat) -> Product | None:
    """The one sum of products that all stores of a kernel share, or None if it is anything else or too small.

    `shared` is the nest `flat` with symbols for numbers; only the numbers themselves tell which columns lie in memory as one.
    """
    found = _match(shared)
    if found is None or found.pieces is None:
        return found
    own = _match(flat)
    assert own is not None
    assert own.pieces is not None
    return replace(found, pieces=replace(found.pieces, run=own.pieces.run, written=own.pieces.written))


def in_panels(p: Product) -> Product:
    """`p` with its right side packed panel by panel in the tasks that multiply it, if that is rows of bytes.

    So it is read once, and no copy of it goes through memory.
    """
    fits = p.integers is not None and p.pieces is None and isinstance(p.b, Load) and not has_data_index(p.b)
    strides = strides_of(p.b.index[0], (p.batch, p.n, p.k)) if fits else None  # type: ignore[attr-defined]
    if strides is None or strides[2] != 1:
        return p
    assert isinstance(p.b, Load)
    return replace(p, pieces=Pieces(p.a, p.b, (), (p.n,), 0, 0, p.k, (), p.reduction, p.stores))


def _match(flat: Flat) -> Product | None:
    x = _sum_of_products(flat)
    sides = None if x is None else _sides(x, flat.axes[-1])
    if x is None or sides is None:
        return None
    left, right, zero = sides
    if not all(axis in left.axes and axis in right.axes for axis in x.reduced) or not x.axes.issuperset(flat.axes):
        return None
    if flat.axes[-1] in left.axes:  # the last axis is in both: nothing to tile
        return None
    columns = [axis for axis in flat.axes if axis not in left.axes]
    rows = [axis for axis in flat.axes if axis not in right.axes]
    windows = _windows(x, left, right, zero, flat, columns, rows) if rows else None
    return windows or _matrices(x, left, right, zero, flat, columns)


def _sum_of_products(flat: Flat) -> Reduce | None:
    """The only reduction of a nest whose stores all run over its axes, if it is a sum of products."""
    reductions = list(dict.fromkeys(x for store in flat.stores for x in walk(store.value) if isinstance(x, Reduce)))
    if len(reductions) != 1 or any(store.axes != flat.axes for store in flat.stores) or not flat.axes:
        return None
    (x,) = reductions
    multiplies = isinstance(x.body, Scalar) and x.body.function == "multiply"
    return x if x.kind == "sum" and x.dtype in ("float32", "float64", "int32") and multiplies else None


def _sides(x: Reduce, last: Axis) -> tuple[Expr, Expr, Expr | None] | None:
    """The left factor, the right one, which varies along the `last` axis, and the zero point of the left one; None for integers not of 8 bits."""
    assert isinstance(x.body, Scalar)
    left, right = x.body.operands
    if last in left.axes:
        left, right = right, left
    return _narrowed(x, left, right) if x.dtype == "int32" else (left, right, None)


def _matrices(x: Reduce, left: Expr, right: Expr, zero: Expr | None, flat: Flat, columns: list[Axis]) -> Product | None:
    """The product of matrices, unless one row meets every element of the other side once: packing gains nothing then."""
    apart = columns[:-1] if _is_long(columns[-1].size) else []  # neighbours in memory stay neighbours: the rest goes to the batch
    batch = [axis for axis in flat.axes if (axis in left.axes and axis in right.axes) or axis in apart]
    rows = [axis for axis in flat.axes if axis in left.axes and axis not in right.axes]
    columns = [axis for axis in columns if axis not in apart]
    is_row = bool(batch) and not rows
    if is_row and (_is_short(x) or not _is_long(product(axis.size for axis in columns))):
        return None
    found = _united(x, left, right, zero, [batch, rows, columns, list(x.reduced)], flat.stores)
    return None if is_row and not traits_of(found.b, found, found.n).is_direct else found


def _narrowed(x: Reduce, left: Expr, right: Expr) -> tuple[Expr, Expr, Expr | None] | None:
    """The 8-bit integers on both sides and the zero point of the left ones; None if it is another product."""
    a, b = bytes_of(left), bytes_of(right)
    if a is None or b is None or b.zero is not None:
        return None
    if a.zero is not None and not a.zero.axes <= a.numbers.axes - set(x.reduced):
        return None
    return a.numbers, b.numbers, a.zero


def _windows(x: Reduce, left: Expr, right: Expr, zero: Expr | None, flat: Flat, columns: list[Axis], rows: list[Axis]) -> Product | None:
    """The product if its right side lies in pieces: then all columns are one axis, samples among them."""
    batch = [axis for axis in flat.axes if axis not in (*columns, *rows)]
    found = _united(x, left, right, zero, [batch, rows, columns, list(x.reduced)], flat.stores)
    outer_values = _parts_of([batch, rows], [found.batch, found.m])
    moved = substitute_axes(x, outer_values)
    assert isinstance(moved, Reduce)
    stores = tuple(Store(s.buffer, s.axes, (substitute(s.index[0], outer_values),), substitute_axes(s.value, outer_values)) for s in flat.stores)
    pieces = pieces_of(moved, substitute_axes(left, outer_values), substitute_axes(right, outer_values), columns, stores)
    return None if pieces is None else replace(found, pieces=pieces)


def _is_long(size: Dim) -> bool:
    """Whether an axis alone fills the columns of tiles."""
    return not isinstance(size, int) or size >= FEW_COLUMNS


def _is_short(x: Reduce) -> bool:
    """Whether sums over so few products are better computed lane by lane than packed."""
    size = product(axis.size for axis in x.reduced)
    return isinstance(size, int) and size < SHORT_SUM


def _united(x: Reduce, left: Expr, right: Expr, zero: Expr | None, groups: list[list[Axis]], stores: Sequence[Store]) -> Product:
    """Every group of axes as one axis, its members as quotients and remainders of it."""
    batch, m, n, k = axes = [group[0] if len(group) == 1 else fresh_axis(product(axis.size for axis in group), "i") for group in groups]
    values = _parts_of(groups, axes)
    renamed = {axis: value for axis, value in values.items() if axis not in x.reduced}
    sums = substitute_axes(x, renamed)
    assert isinstance(sums, Reduce)
    moved = tuple(Store(s.buffer, s.axes, (substitute(s.index[0], values),), substitute_axes(s.value, renamed)) for s in stores)
    a, b = (recombined_loads(substitute_axes(side, values)) for side in (left, right))
    return Product(sums, a, b, batch, m, n, k, moved, zero=None if zero is None else substitute_axes(zero, renamed))


def _parts_of(groups: list[list[Axis]], axes: list[Axis]) -> dict[Atom, Dim]:
    """The axes of every group as quotients and remainders of the one that stands for it."""
    values: dict[Atom, Dim] = {}
    for group, united in zip(groups, axes, strict=True):
        inner: Dim = 1
        for axis in reversed(group if len(group) > 1 else []):
            index = floordiv(as_size(united), inner)
            values[axis] = index if axis is group[0] else mod(index, axis.size)
            inner = inner * axis.size
    return values
