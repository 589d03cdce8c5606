"""Sums of products: recognised in a kernel, cut into batch, rows, columns and depth, and handed to the contraction engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphdl.kernel.expression import Axis, Buffer, Expr, Load, Reduce, Scalar, axes_of, fresh_axis, substitute_axes, walk
from graphdl.kernel.program import Store
from graphdl.sizes import Atom, Dim, as_size, floordiv, mod, product, substitute, terms_of
from graphdl.types import TensorType

from ..contraction import Chooser, Contraction, Direct, Indexed, Integers, Known, Operand, Parts, Schedule, Shape, Traits, emit_contraction, modelled
from ..contraction.interface import Axis as Side
from ..llvm import Function, Module, Value
from ..target import Target
from .affine import Flat, linear_part
from .byte_side import ByteReader, bytes_of
from .emitter import Emitter
from .function import Arguments, open_emitter
from .loops import store_all
from .panels import PanelWriter
from .pieces import Pieces, pieces_of
from .recombination import recombined_loads
from .registers import REGISTER

FEW_COLUMNS = 16
SHORT_SUM = 64


@dataclass(frozen=True)
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
    fits = p.integers is not None and p.pieces is None and isinstance(p.b, Load) and not _has_data_index(p.b)
    strides = _strides(p.b.index[0], (p.batch, p.n, p.k)) if fits else None  # type: ignore[attr-defined]
    if strides is None or strides[2] != 1:
        return p
    assert isinstance(p.b, Load)
    return replace(p, pieces=Pieces(p.a, p.b, (), (p.n,), 0, 0, p.k, (), p.reduction, p.stores))


def _match(flat: Flat) -> Product | None:
    reductions = list(dict.fromkeys(x for store in flat.stores for x in walk(store.value) if isinstance(x, Reduce)))
    if len(reductions) != 1 or any(store.axes != flat.axes for store in flat.stores) or not flat.axes:
        return None
    (x,) = reductions
    if x.kind != "sum" or x.dtype not in ("float32", "float64", "int32") or not isinstance(x.body, Scalar) or x.body.function != "multiply":
        return None
    left, right = x.body.operands
    if flat.axes[-1] in left.axes:
        left, right = right, left
    zero: Expr | None = None
    if x.dtype == "int32":
        narrow = _narrowed(x, left, right)
        if narrow is None:
            return None
        left, right, zero = narrow
    if not all(axis in left.axes and axis in right.axes for axis in x.reduced) or not x.axes.issuperset(flat.axes):
        return None
    if flat.axes[-1] in left.axes:  # the last axis is in both: nothing to tile
        return None
    columns = [axis for axis in flat.axes if axis not in left.axes]
    rows = [axis for axis in flat.axes if axis not in right.axes]
    if rows:
        windows = _windows(x, left, right, zero, flat, columns, rows)
        if windows is not None:
            return windows
    apart = columns[:-1] if _is_long(columns[-1].size) else []  # neighbours in memory stay neighbours: the rest goes to the batch
    groups = [
        [axis for axis in flat.axes if (axis in left.axes and axis in right.axes) or axis in apart],
        [axis for axis in flat.axes if axis in left.axes and axis not in right.axes],
        [axis for axis in columns if axis not in apart],
        list(x.reduced),
    ]
    if not groups[1] and groups[0] and (_is_short(x) or not _is_long(product(axis.size for axis in groups[2]))):
        return None
    found = _united(x, left, right, zero, groups, flat.stores)
    if not groups[1] and groups[0] and not traits_of(found.b, found, found.n).is_direct:
        return None  # one row meets every element of the other side once: packing that gains nothing
    return found


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


class _Side:
    """One operand, read through the kernel's own expression. `frame` binds the batch, the free axis and k."""

    def __init__(self, opened: _Open, x: Expr, free: Axis, traits: Traits) -> None:
        self.opened, self.x, self.free = opened, x, free
        self.direct = opened.direct_load(x, free) if traits.is_direct else None
        self.indexed = opened.indexed_load(x, free) if traits.is_indexed else None

    def vector(self, f: Function, batch: Value, free: Value, k: Value, lanes: int, axis: Side, mask: Value | None) -> Value:
        p, emitter = self.opened.product, self.opened.emitter
        along, base, other, value = (self.free, free, p.k, k) if axis == "mn" else (p.k, k, self.free, free)
        with f.apart(), emitter.binding(p.batch, batch), emitter.binding(other, value), emitter.vector(along, base, lanes, mask):
            found = emitter.value(self.x)
            return f.splat(found, lanes) if lanes else found


class _Finish:
    """The epilogue: the kernel's stores, with the finished sums in the reduction's place."""

    def __init__(self, opened: _Open) -> None:
        self.opened = opened
        self.direct = opened.direct_store()

    def store(self, f: Function, batch: Value, m: Value, n: Value, value: Value, mask: Value | None) -> None:
        p, emitter = self.opened.product, self.opened.emitter
        with f.apart(), emitter.binding(p.batch, batch), emitter.binding(p.m, m), emitter.vector(p.n, n, value.type.lanes, mask):
            emitter.sums = {p.reduction.number: value}
            store_all(emitter, p.stores)
            emitter.sums = {}


class _Open:
    """A product inside one kernel function."""

    def __init__(self, product: Product, emitter: Emitter) -> None:
        self.product, self.emitter = product, emitter

    def direct_load(self, x: Expr, free: Axis) -> Direct:
        assert isinstance(x, Load)
        strides = _strides(x.index[0], (self.product.batch, free, self.product.k))
        assert strides is not None
        return self._direct(x.buffer, x.dtype, *strides)

    def side(self, x: Expr, free: Axis, traits: Traits) -> Operand:
        """One operand: words of bytes, or numbers."""
        p = self.product
        return _Side(self, x, free, traits) if p.integers is None else ByteReader(self.emitter, x, p.batch, free, p.k)

    def zero(self, f: Function, batch: Value, m: Value) -> Value:
        """What is taken off a row of the left side."""
        assert self.product.zero is not None
        with f.apart(), self.emitter.binding(self.product.batch, batch), self.emitter.binding(self.product.m, m):
            return self.emitter.value(self.product.zero)

    def indexed_load(self, x: Expr, free: Axis) -> Indexed:
        assert isinstance(x, Load)
        parts = _separated(x.index[0], free, self.product.k)
        assert parts is not None
        at_batch, at_k = parts
        p, f, emitter = self.product, self.emitter.f, self.emitter

        def emitted(index: Dim, axis: Axis, value: Value) -> Value:
            with f.apart(), emitter.binding(axis, value):
                return emitter.index(index)

        pointer = emitter.pointer(x.buffer)
        return Indexed(pointer, lambda batch: emitted(at_batch, p.batch, batch), lambda k: emitted(at_k, p.k, k))

    def direct_store(self) -> Direct | None:
        p = self.product
        (store, *others) = p.stores
        strides = _strides(store.index[0], (p.batch, p.m, p.n))
        if others or store.value is not p.reduction or strides is None or strides[3] != 1:
            return None
        return self._direct(store.buffer, store.value.dtype, *strides)

    def _direct(self, buffer: Buffer, dtype: str, rest: Dim, batch: Dim, row: Dim, column: Dim) -> Direct:
        emitter = self.emitter
        pointer = emitter.f.offset(emitter.pointer(buffer), emitter.index(rest), REGISTER[dtype].scalar)
        return Direct(pointer, emitter.index(row), emitter.index(column), emitter.index(batch))


def _strides(offset: Dim, axes: tuple[Axis, Axis, Axis]) -> tuple[Dim, Dim, Dim, Dim] | None:
    """(rest, stride of each axis) of a linear offset, or None."""
    strides = []
    for axis in axes:
        parts = linear_part(offset, axis)
        if parts is None:
            return None
        strides.append(parts[0])
        offset = parts[1]
    return offset, strides[0], strides[1], strides[2]


def _separated(offset: Dim, free: Axis, k: Axis) -> tuple[Dim, Dim] | None:
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
    strides = _strides(x.index[0], (p.batch, free, p.k)) if isinstance(x, Load) else None
    contiguous: Side | None = None
    loads = [y for y in walk(x) if isinstance(y, Load)]
    if loads and all(_unit(y, free) or (free not in y.axes and p.k not in y.axes) for y in loads):
        contiguous = "mn"
    elif loads and all(_unit(y, p.k) or (free not in y.axes and p.k not in y.axes) for y in loads):
        contiguous = "k"
    if strides is not None:
        contiguous = "mn" if strides[2] == 1 else "k" if strides[3] == 1 else None
    plain = isinstance(x, Load) and not _has_data_index(x)
    indexed = plain and strides is None and _separated(x.index[0], free, p.k) is not None  # type: ignore[attr-defined]
    return Traits(contiguous, strides is not None and plain, p.batch in x.axes, indexed)


def _left_traits(p: Product) -> Traits:
    found = traits_of(p.a, p, p.m)
    if p.integers is not None:
        return _packed(found)
    return found if p.pieces is None or found.is_direct else replace(found, contiguous=None, is_indexed=False)


def _right_traits(p: Product) -> Traits:
    if p.pieces is not None:
        pieces = p.pieces
        batched = p.batch in pieces.element.axes
        return Traits(None, False, batched, taps=pieces.depth, in_runs=pieces.in_runs, is_one_run=pieces.run == 0)
    found = traits_of(p.b, p, p.n)
    return found if p.integers is None else _packed(found)


def _packed(found: Traits) -> Traits:
    """The traits of bytes, which are always packed."""
    return replace(found, is_direct=False, is_indexed=False)


def _unit(x: Load, axis: Axis) -> bool:
    parts = linear_part(x.index[0], axis)
    return parts is not None and parts[0] == 1


def _has_data_index(x: Expr) -> bool:
    from graphdl.kernel.expression import parts_of

    return bool(parts_of(x))


@dataclass(frozen=True)
class ProductKernels:
    """The kernel functions of one product, their arguments, and the schedule with its formulas for tasks and scratch."""

    contraction: Contraction
    schedule: Schedule
    arguments: Arguments
    packed_a: Buffer
    packed_b: Buffer


def emit_product(
    module: Module,
    target: Target,
    name: str,
    p: Product,
    shape: Shape[Dim],  # type: ignore[type-var]
    choose: Chooser = modelled,
) -> ProductKernels:
    """Write the kernels of a product; `shape` has the sizes as far as they are known, which the kernels take as arguments."""
    traits = _left_traits(p), _right_traits(p)
    known = Known(*(size if isinstance(size, int) else None for size in (shape.batch, shape.m, shape.n, shape.k)))
    schedule = Schedule.choose(target, REGISTER[p.reduction.dtype], *traits, known, p.integers)
    schedule = replace(schedule, cut=choose(schedule, traits, shape))
    arguments = Arguments()
    packed = [Buffer(f"packed_{side}", TensorType("uint8", ()), "temporary") for side in "ab"]

    def prepare(f: Function) -> Parts:
        emitter = open_emitter(f, target, arguments)
        opened = _Open(p, emitter)
        batch, m, n, k = (emitter.index(size) for size in p.shape)
        a, b = opened.side(p.a, p.m, traits[0]), opened.side(p.b, p.n, traits[1])
        pieces = PanelWriter(emitter, p.pieces, p.batch, p.m, schedule.lanes, schedule.panel_columns) if p.pieces else None
        zero = opened.zero if p.zero is not None else None
        return Parts(batch, m, n, k, a, b, _Finish(opened), emitter.pointer(packed[0]), emitter.pointer(packed[1]), pieces, zero)

    contraction = emit_contraction(module, schedule, name, prepare)
    return ProductKernels(contraction, schedule, arguments, packed[0], packed[1])
