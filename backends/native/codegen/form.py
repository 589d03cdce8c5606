"""The form of a step or a nest: what is left of it when buffers and axes are numbered in the order of appearance.

Steps of one form have the same launches, so a thousand equal layers are emitted once; counters of loops are numbered, other symbolic sizes
keep their names. Nests of one form have the same code: there all symbols are numbered, as a function takes them as arguments, and of a buffer
only the dtype counts.
"""

from __future__ import annotations

from graphdl.kernel.expression import Axis, Buffer, Const, Counter, Expr, IndexValue, Load, Loaded, Reduce, Scalar, walk
from graphdl.kernel.program import Cumulative, Kernel, Scatter, Store
from graphdl.record import record
from graphdl.sizes import Atom, Combined, Dim, terms_of

from .affine import Flat
from .function import Arguments

Key = tuple[object, ...]


@record
class Form:
    """Equal keys mean equal code, with `storages` and `symbols` in each other's places."""

    key: Key
    storages: tuple[Buffer, ...]
    symbols: tuple[str, ...]

    def arguments_of(self, other: Form, arguments: Arguments) -> Arguments:
        """What a function takes here that takes `arguments` for an `other` of the same form."""
        buffers, symbols = dict(zip(other.storages, self.storages, strict=True)), dict(zip(other.symbols, self.symbols, strict=True))
        return arguments.renamed(buffers, symbols)


def form_of(step: Kernel | Scatter | Cumulative) -> Form:
    """The form of a step: equal for steps that differ only in the names of buffers and axes."""
    numbering = _StepNumbering()
    if isinstance(step, Kernel):
        details: Key = tuple(numbering.store(store) for store in step.stores)
    elif isinstance(step, Scatter):
        target = Store(step.buffer, step.axes, step.index, step.value)
        details = (numbering.store(target), step.kind)
    else:
        factor = None if step.factor is None else numbering.expression(step.factor)
        details = (numbering.store(Store(step.buffer, step.axes, step.index, step.value)), factor, step.kind, step.exclusive)
    return numbering.form((type(step), step.name, tuple(numbering.axis(axis) for axis in step.axes), details))


def form_of_nest(flat: Flat) -> Form:
    """The form of a nest: equal for nests that differ only in the names of buffers, axes and symbols, and in the sizes of buffers."""
    numbering = _Numbering()
    axes = tuple(map(numbering.axis, flat.axes))
    return numbering.form((axes, tuple(map(numbering.store, flat.stores))))


class _Numbering:
    """Numbers for what a nest mentions, given out as it is met."""

    def __init__(self) -> None:
        self.storages: dict[Buffer, int] = {}
        self.symbols: dict[str, int] = {}
        self.axes: dict[Atom, tuple[int, object]] = {}
        self.values: dict[int, int] = {}

    def form(self, key: Key) -> Form:
        return Form(key, tuple(self.storages), tuple(self.symbols))

    def store(self, store: Store) -> Key:
        axes = tuple(self.axis(axis) for axis in store.axes)
        return axes, self.buffer(store.buffer), tuple(map(self.index, store.index)), self.expression(store.value)

    def axis(self, axis: Axis) -> Key:
        """The number of an axis, and its size."""
        known = self.axes.get(axis)
        if known is None:
            known = self.axes[axis] = (len(self.axes), self.index(axis.size))
        return known

    def buffer(self, buffer: Buffer) -> Key:
        return self.storages.setdefault(buffer.storage, len(self.storages)), buffer.type.dtype

    def symbol(self, atom: Atom) -> Key:
        return type(atom), self.symbols.setdefault(atom.key, len(self.symbols))

    def index(self, index: Dim) -> object:
        if isinstance(index, int):
            return index
        return frozenset((coefficient, tuple(sorted(map(self.atom, monomial), key=repr))) for monomial, coefficient in terms_of(index))

    def atom(self, atom: Atom) -> Key:
        if isinstance(atom, Axis):
            return self.axis(atom)
        if isinstance(atom, Loaded):
            return "loaded", self.expression(atom.value), self.index(atom.size), atom.site, atom.wraps
        if isinstance(atom, Combined):
            return atom.function, self.index(atom.left), self.index(atom.right)
        return self.symbol(atom)

    def expression(self, root: Expr) -> object:
        """Every part that was not met before, and the number of the whole."""
        parts = []
        for x in walk(root):
            if x.number not in self.values:
                parts.append(self.part(x))
                self.values[x.number] = len(self.values)
        return tuple(parts), self.values[root.number]

    def part(self, x: Expr) -> Key:
        operands = tuple(self.values[operand.number] for operand in x.operands)
        if isinstance(x, Load):
            return self.buffer(x.buffer), tuple(map(self.index, x.index))
        if isinstance(x, IndexValue):
            return ("index", self.index(x.index))
        if isinstance(x, Const):
            return x.dtype, repr(x.value)
        if isinstance(x, Reduce):
            return x.kind, tuple(map(self.axis, x.reduced)), operands
        return (x.function if isinstance(x, Scalar) else "guard", x.dtype, operands)


class _StepNumbering(_Numbering):
    """The same for what a step mentions, whose sizes count."""

    def buffer(self, buffer: Buffer) -> Key:
        storage = buffer.storage
        return *super().buffer(buffer), storage.kind, storage.type, buffer.type, self.index(buffer.offset)

    def symbol(self, atom: Atom) -> Key:
        return super().symbol(atom) if isinstance(atom, Counter) else (atom.key,)
