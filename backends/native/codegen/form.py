"""The form of a step: what is left of it when buffers and axes are numbered in the order of appearance.

Steps of one form have the same code, so a thousand equal layers are emitted once. Symbolic sizes keep their names.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphdl.kernel.expression import Axis, Buffer, Const, Expr, IndexValue, Load, Loaded, Reduce, Scalar, walk
from graphdl.kernel.program import Cumulative, Kernel, Scatter, Store
from graphdl.sizes import Atom, Combined, Dim, terms_of

Key = tuple[object, ...]


@dataclass(frozen=True)
class Form:
    """Equal keys mean equal code, with `storages` in each other's places."""

    key: Key
    storages: tuple[Buffer, ...]


def form_of(step: Kernel | Scatter | Cumulative) -> Form:
    """The form of a step: equal for steps that differ only in the names of buffers and axes."""
    numbering = _Numbering()
    if isinstance(step, Kernel):
        details: Key = tuple(numbering.store(store) for store in step.stores)
    elif isinstance(step, Scatter):
        target = Store(step.buffer, step.axes, step.index, step.value)
        details = (numbering.store(target), step.kind)
    else:
        factor = None if step.factor is None else numbering.expression(step.factor)
        details = (numbering.store(Store(step.buffer, step.axes, step.index, step.value)), factor, step.kind, step.exclusive)
    key = (type(step), step.name, tuple(numbering.axis(axis) for axis in step.axes), details)
    return Form(key, tuple(numbering.storages))


class _Numbering:
    """Numbers for what a step mentions, given out as it is met."""

    def __init__(self) -> None:
        self.storages: dict[Buffer, int] = {}
        self.axes: dict[Atom, tuple[int, object]] = {}
        self.values: dict[int, int] = {}

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
        storage = buffer.storage
        number = self.storages.setdefault(storage, len(self.storages))
        return number, storage.kind, storage.type, buffer.type, self.index(buffer.offset)

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
        return (atom.key,)

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
