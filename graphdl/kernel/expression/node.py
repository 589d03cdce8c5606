"""The kinds of expressions, loop axes and buffers."""

from __future__ import annotations

import itertools
from typing import Any

from ...sizes import Atom, Dim, Size, SymbolAtom, atoms_of
from ...types import TensorType

Index = tuple[Dim, ...]
counter = itertools.count()


class Axis(Atom):
    """A loop variable in [0, size)."""

    __slots__ = ("size",)

    def __init__(self, name: str, size: Dim) -> None:
        super().__init__(name)
        self.size = size

    def upper(self) -> Dim | None:
        return self.size - 1


def fresh_axis(size: Dim, stem: str = "r") -> Axis:
    """A new loop variable; kernels rename theirs in order of appearance, so the number does not show."""
    return Axis(f"{stem}{next(counter)}", size)


def fresh_axes(shape: Index, stem: str = "i") -> tuple[Axis, ...]:
    """A new loop variable for every axis of a shape."""
    return tuple(fresh_axis(size, stem) for size in shape)


class Counter(SymbolAtom):
    """The number of the iteration that a loop of the program is at, which kernels inside take as an argument like a size."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(f"@{next(counter)}")


class Buffer:
    """Storage for one tensor, row-major and contiguous. A reshape is another buffer over the same `base`; so is a part that
    begins `shift` elements behind the start of the base, such as one step's part of a stack."""

    __slots__ = ("base", "kind", "name", "shift", "source", "type")

    def __init__(self, name: str, type: TensorType, kind: str, source: Any = None, base: Buffer | None = None, shift: Dim = 0) -> None:
        self.name = name
        self.type = type
        self.kind = kind  # "input", "output", "parameter", "constant", "temporary", or "carry" of a loop
        self.source = source  # the tensor or array behind it
        self.base = base
        self.shift = shift

    @property
    def storage(self) -> Buffer:
        return self.base.storage if self.base is not None else self

    @property
    def offset(self) -> Dim:
        """Where it begins in its storage, in elements."""
        return self.shift if self.base is None else self.base.offset + self.shift

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its storage."""
        return self.base is None or (self.offset == 0 and self.type.size == self.storage.type.size)

    def view(self, shape: Index) -> Buffer:
        """The same memory under another shape."""
        return Buffer(self.name, self.type.with_shape(shape), self.kind, base=self)

    def element(self, position: Dim) -> Buffer:
        """The part at a position along the leading axis."""
        type = self.type.with_shape(self.type.shape[1:])
        return Buffer(self.name, type, self.kind, base=self, shift=position * type.size)

    def __repr__(self) -> str:
        return f"{self.name}: {self.type}"


class Expr:
    """Base of all expressions; `number` orders them by age, operands first."""

    __slots__ = ("__weakref__", "_axes", "below", "dtype", "number")
    below: tuple[Expr, ...]  # all that it is made of, operands before users, once `walk` has looked
    dtype: str
    number: int

    @property
    def operands(self) -> tuple[Expr, ...]:
        return ()

    @property
    def axes(self) -> frozenset[Axis]:
        """The loop variables its value depends on."""
        try:
            return self._axes
        except AttributeError:
            self._axes: frozenset[Axis] = self._find_axes()
            return self._axes

    def _find_axes(self) -> frozenset[Axis]:
        return frozenset().union(*(operand.axes for operand in self.operands))

    def zero(self) -> Expr:
        return build.const(0, self.dtype)

    def one(self) -> Expr:
        return build.const(1, self.dtype)

    def __add__(self, other: Any) -> Expr:
        return build.apply("add", self, other)

    def __radd__(self, other: Any) -> Expr:
        return build.apply("add", other, self)

    def __sub__(self, other: Any) -> Expr:
        return build.apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Expr:
        return build.apply("subtract", other, self)

    def __mul__(self, other: Any) -> Expr:
        return build.apply("multiply", self, other)

    def __rmul__(self, other: Any) -> Expr:
        return build.apply("multiply", other, self)

    def __truediv__(self, other: Any) -> Expr:
        return build.apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return build.apply("divide", other, self)

    def __neg__(self) -> Expr:
        return build.apply("negative", self)

    def __repr__(self) -> str:
        from ..printer import format_expression

        return format_expression(self)


class Const(Expr):
    """A number."""

    __slots__ = ("value",)

    def __init__(self, value: float | int | bool, dtype: str) -> None:
        self.value = value
        self.dtype = dtype


class Variable(Expr):
    """Operand `position` of a declared scalar expression; lowering puts a load or a producer in its place."""

    __slots__ = ("position",)

    def __init__(self, position: int, dtype: str) -> None:
        self.position = position
        self.dtype = dtype


class IndexValue(Expr):
    """An index polynomial as an int64 value."""

    __slots__ = ("index",)

    def __init__(self, index: Dim) -> None:
        self.index = index
        self.dtype = "int64"

    def _find_axes(self) -> frozenset[Axis]:
        return axes_of(self.index)


class Load(Expr):
    """One element of a buffer."""

    __slots__ = ("buffer", "index")

    def __init__(self, buffer: Buffer, index: Index) -> None:
        self.buffer = buffer
        self.index = index
        self.dtype = buffer.type.dtype

    def _find_axes(self) -> frozenset[Axis]:
        return frozenset().union(*(axes_of(part) for part in self.index))


class Scalar(Expr):
    """A function of the closed table applied to operands."""

    __slots__ = ("_operands", "function")

    def __init__(self, function: str, operands: tuple[Expr, ...], dtype: str) -> None:
        self.function = function
        self._operands = operands
        self.dtype = dtype

    @property
    def operands(self) -> tuple[Expr, ...]:
        return self._operands


class Guard(Expr):
    """`body` where `predicate` holds, else `otherwise`; of each, loads happen only where it is chosen."""

    __slots__ = ("body", "otherwise", "predicate")

    def __init__(self, predicate: Expr, body: Expr, otherwise: Expr) -> None:
        self.predicate = predicate
        self.body = body
        self.otherwise = otherwise
        self.dtype = body.dtype

    @property
    def operands(self) -> tuple[Expr, ...]:
        return (self.predicate, self.body, self.otherwise)


class Reduce(Expr):
    """`body` combined over `reduced` axes by `kind`: sum, prod, max, min, any, all, argmax or argmin."""

    __slots__ = ("body", "kind", "reduced")

    def __init__(self, kind: str, reduced: tuple[Axis, ...], body: Expr) -> None:
        self.kind = kind
        self.reduced = reduced
        self.body = body
        self.dtype = "int64" if kind in ("argmax", "argmin") else body.dtype

    @property
    def operands(self) -> tuple[Expr, ...]:
        return (self.body,)

    def _find_axes(self) -> frozenset[Axis]:
        return self.body.axes - set(self.reduced)


def axes_of(index: Dim) -> frozenset[Axis]:
    """The axes in an index, those of loaded indices too."""
    return frozenset(atom for atom in atoms_of(index) if isinstance(atom, Axis)) if isinstance(index, Size) else frozenset()


from . import build  # noqa: E402  (operators build expressions, and builders make nodes)
