"""Products of matrices handed to the contraction engine: how it reads their operands, and what follows their sums."""

from __future__ import annotations

from dataclasses import replace

from graphdl.kernel.expression import Axis, Buffer, Expr, Load
from graphdl.record import record
from graphdl.sizes import Dim, content
from graphdl.types import TensorType

from ..contraction import Chooser, Contraction, Direct, Indexed, Known, Operand, Parts, Schedule, Shape, Traits, emit_contraction, modelled
from ..contraction.interface import Axis as Side
from ..llvm import Function, Module, Value
from ..target import Target
from .byte_side import ByteReader
from .emitter import Emitter
from .fetch import loads_beside
from .function import Arguments, open_emitter
from .loops import store_all
from .panels import PanelWriter
from .product import Product, left_traits, right_traits, separated, strides_of
from .registers import MEMORY, REGISTER


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
        p = opened.product
        self.read = [] if self.direct else loads_beside(p.reduction, [store.value for store in p.stores], p.m, p.n)

    @property
    def arrays(self) -> int:
        return len(self.read)

    def places(self, f: Function, batch: Value, m: Value, n: Value) -> list[Value]:
        p, emitter = self.opened.product, self.opened.emitter
        with f.apart(), emitter.binding(p.batch, batch), emitter.binding(p.m, m), emitter.binding(p.n, n):
            return [emitter.address(load.buffer, load.index[0], MEMORY[load.dtype]) for load in self.read]

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
        strides = strides_of(x.index[0], (self.product.batch, free, self.product.k))
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
        parts = separated(x.index[0], free, self.product.k)
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
        strides = strides_of(store.index[0], (p.batch, p.m, p.n))
        if others or store.value is not p.reduction or strides is None or strides[3] != 1:
            return None
        return self._direct(store.buffer, store.value.dtype, *strides)

    def _direct(self, buffer: Buffer, dtype: str, rest: Dim, batch: Dim, row: Dim, column: Dim) -> Direct:
        emitter = self.emitter
        pointer = emitter.f.offset(emitter.pointer(buffer), emitter.index(rest), REGISTER[dtype].scalar)
        return Direct(pointer, emitter.index(row), emitter.index(column), emitter.index(batch))


@record
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
    traits = left_traits(p), right_traits(p)
    schedule = Schedule.choose(target, REGISTER[p.reduction.dtype], *traits, _known(shape), p.integers)
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


def _known(shape: Shape[Dim]) -> Known:  # type: ignore[type-var]
    """What is known of the sizes when the kernels are written."""
    batch, m, n, k = (size if isinstance(size, int) else None for size in (shape.batch, shape.m, shape.n, shape.k))
    return Known(batch, m, n, k, max(content(shape.m), 1), max(content(shape.n), 1))
