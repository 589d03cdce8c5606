"""Scalar expressions: what a kernel computes at one point of its domain.

Expressions are immutable and interned, so equal ones are one object and `is` compares them.
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..sizes import Atom, Dim, Size, as_size, atoms_of, substitute
from ..types import TensorType, is_floating
from .functions import TABLE

Index = tuple[Dim, ...]
_interned: weakref.WeakValueDictionary[Any, Expr] = weakref.WeakValueDictionary()
_counter = itertools.count()


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
    return Axis(f"{stem}{next(_counter)}", size)


def fresh_axes(shape: Index, stem: str = "i") -> tuple[Axis, ...]:
    """A new loop variable for every axis of a shape."""
    return tuple(fresh_axis(size, stem) for size in shape)


class Loaded(Atom):
    """An index read from data: `value` (of int64) into an axis of `size`.

    Negative values count from the end, as in NumPy. A value outside the axis ends the kernel and is reported under `site`.
    """

    __slots__ = ("site", "size", "value")

    def __init__(self, value: Expr, size: Dim, site: int) -> None:
        super().__init__(f"load{value.number}/{size}@{site}")
        self.value = value
        self.size = size
        self.site = site

    def upper(self) -> Dim | None:
        return self.size - 1

    def substitute(self, values: Mapping[Atom, Dim]) -> Dim:
        moved = substitute_axes(self.value, values)
        size = substitute(self.size, values)
        return as_size(self if moved is self.value and size == self.size else Loaded(moved, size, self.site))

    def atoms(self) -> Iterator[Atom]:
        yield self
        yield from index_atoms(self.value)


_site: ContextVar[Callable[[Dim], int]] = ContextVar("site", default=lambda size: 0)


@contextmanager
def reporting(site: Callable[[Dim], int]) -> Iterator[None]:
    """Indices read from data inside are reported under `site(size of the axis)`."""
    token = _site.set(site)
    try:
        yield
    finally:
        _site.reset(token)


def loaded_index(value: Expr, size: Dim) -> Dim:
    """An index that is data, into an axis of `size`: negative values count from the end, as in NumPy."""
    return as_size(Loaded(cast(value, "int64"), size, _site.get()(size)))


class Buffer:
    """Storage for one tensor, row-major and contiguous. A reshape is another buffer over the same `base`."""

    __slots__ = ("base", "kind", "name", "source", "type")

    def __init__(self, name: str, type: TensorType, kind: str, source: Any = None, base: Buffer | None = None) -> None:
        self.name = name
        self.type = type
        self.kind = kind  # "input", "output", "parameter", "constant" or "temporary"
        self.source = source  # the tensor or array behind it
        self.base = base.storage if base is not None else None

    @property
    def storage(self) -> Buffer:
        return self.base.storage if self.base is not None else self

    def view(self, shape: Index) -> Buffer:
        """The same memory under another shape."""
        return Buffer(self.name, self.type.with_shape(shape), self.kind, base=self)

    def __repr__(self) -> str:
        return f"{self.name}: {self.type}"


class Expr:
    """Base of all expressions; `number` orders them by age, operands first."""

    __slots__ = ("__weakref__", "_axes", "dtype", "number")
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
        return const(0, self.dtype)

    def one(self) -> Expr:
        return const(1, self.dtype)

    def __add__(self, other: Any) -> Expr:
        return apply("add", self, other)

    def __radd__(self, other: Any) -> Expr:
        return apply("add", other, self)

    def __sub__(self, other: Any) -> Expr:
        return apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Expr:
        return apply("subtract", other, self)

    def __mul__(self, other: Any) -> Expr:
        return apply("multiply", self, other)

    def __rmul__(self, other: Any) -> Expr:
        return apply("multiply", other, self)

    def __truediv__(self, other: Any) -> Expr:
        return apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return apply("divide", other, self)

    def __neg__(self) -> Expr:
        return apply("negative", self)

    def __repr__(self) -> str:
        from .printer import format_expression

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
    """`body` where `predicate` holds, else `otherwise`; where it does not hold, the loads in `body` do not happen."""

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


def _intern(key: tuple[Any, ...], make: Callable[[], Expr]) -> Expr:
    known = _interned.get(key)
    if known is None:
        known = make()
        known.number = next(_counter)
        _interned[key] = known
    return known


def const(value: float | int | bool, dtype: str) -> Expr:
    """A number of a dtype."""
    value = float(value) if is_floating(dtype) else bool(value) if dtype == "bool" else int(value)
    return _intern(("const", repr(value), dtype), lambda: Const(value, dtype))


def variable(position: int, dtype: str) -> Expr:
    """Operand `position` of a declared scalar expression."""
    return _intern(("variable", position, dtype), lambda: Variable(position, dtype))


def index_value(index: Dim) -> Expr:
    """An index polynomial as an int64 value."""
    return const(index, "int64") if isinstance(index, int) else _intern(("index", index), lambda: IndexValue(index))


def load(buffer: Buffer, index: Index) -> Expr:
    """The element of a buffer at an index."""
    return _intern(("load", id(buffer), index), lambda: Load(buffer, index))


def guard(predicate: Expr, body: Expr, otherwise: Expr) -> Expr:
    """`body` where `predicate` holds, else `otherwise`."""
    if isinstance(predicate, Const):
        return body if predicate.value else otherwise
    return _intern(("guard", predicate.number, body.number, otherwise.number), lambda: Guard(predicate, body, otherwise))


def reduce(kind: str, reduced: tuple[Axis, ...], body: Expr) -> Expr:
    """`body` combined by `kind` over axes; the body itself over none."""
    if not reduced:
        return body
    return _intern(("reduce", kind, reduced, body.number), lambda: Reduce(kind, reduced, body))


def cast(x: Expr, dtype: str) -> Expr:
    """A value converted to another dtype."""
    if x.dtype == dtype:
        return x
    if isinstance(x, Const) and math.isfinite(x.value):
        return const(x.value, dtype)
    return _intern(("cast", x.number, dtype), lambda: Scalar("cast", (x,), dtype))


def bitcast(x: Expr, dtype: str) -> Expr:
    """The same bits read as another dtype of the same width."""
    return x if x.dtype == dtype else _intern(("bitcast", x.number, dtype), lambda: Scalar("bitcast", (x,), dtype))


def apply(name: str, *arguments: Any) -> Expr:
    """`name` of the table applied to expressions; Python numbers take the dtype of the expressions beside them."""
    dtype = next(a.dtype for a in reversed(arguments) if isinstance(a, Expr))
    operands = tuple(a if isinstance(a, Expr) else const(a, dtype) for a in arguments)
    simpler = _simplify(name, operands)
    if simpler is not None:
        return simpler
    result = "bool" if TABLE[name].result == "bool" else dtype
    return _intern((name, *(operand.number for operand in operands)), lambda: Scalar(name, operands, result))


def compare(name: str, left: Dim, right: Dim) -> Expr:
    """A comparison of two index polynomials."""
    return apply(name, index_value(left), index_value(right))


def logical_and(left: Expr, right: Expr) -> Expr:
    """Both predicates."""
    return apply("bit_and", left, right)


def all_of(predicates: list[Expr]) -> Expr:
    """All predicates; true for none."""
    total = const(True, "bool")
    for predicate in predicates:
        total = logical_and(total, predicate)
    return total


def _simplify(name: str, operands: tuple[Expr, ...]) -> Expr | None:
    """Identities that are exact for every value, NaN and infinities included, and foldings of index comparisons."""
    left = operands[0]
    right = operands[-1]
    if name == "multiply":
        return right if is_const(left, 1) else left if is_const(right, 1) else None
    if name == "divide" and is_const(right, 1):
        return left
    if name == "negative" and isinstance(left, Const) and left.dtype != "bool":
        return const(-left.value, left.dtype)
    if name == "bit_and" and left.dtype == "bool":
        if is_const(left, 1) or left is right:
            return right
        return left if is_const(right, 1) or is_const(left, 0) else right if is_const(right, 0) else None
    if name == "select" and isinstance(left, Const):
        return operands[1] if left.value else operands[2]
    if name in _RELATIONS and isinstance(left, Const) and isinstance(right, Const):
        return const(_RELATIONS[name](left.value, right.value), "bool")
    if name in ("less", "greater_equal") and isinstance(left, (IndexValue, Const)) and isinstance(right, (IndexValue, Const)) and left.dtype == "int64":
        return _compare_ranges(name, left, right)
    return None


def _compare_ranges(name: str, left: Expr, right: Expr) -> Expr | None:
    """`left < right` or `left >= right` decided from the ranges of the axes."""
    from ..sizes import is_nonnegative

    a = left.index if isinstance(left, IndexValue) else left.value  # type: ignore[attr-defined]
    b = right.index if isinstance(right, IndexValue) else right.value  # type: ignore[attr-defined]
    if is_nonnegative(b - a - 1):
        return const(name == "less", "bool")
    if is_nonnegative(a - b):
        return const(name != "less", "bool")
    return None


_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
}


def is_const(x: Expr, value: float) -> bool:
    """Whether an expression is this number, with this sign of zero."""
    return isinstance(x, Const) and x.value == value and math.copysign(1, x.value) == math.copysign(1, value)


def axes_of(index: Dim) -> frozenset[Axis]:
    """The axes in an index, those of loaded indices too."""
    return frozenset(atom for atom in atoms_of(index) if isinstance(atom, Axis)) if isinstance(index, Size) else frozenset()


def index_atoms(x: Expr) -> Iterator[Atom]:
    """Every atom in the indices of an expression."""
    for part in walk(x):
        for index in indices_of(part):
            yield from atoms_of(index)


def indices_of(x: Expr) -> Index:
    """The index polynomials that stand in an expression itself."""
    if isinstance(x, Load):
        return x.index
    return (x.index,) if isinstance(x, IndexValue) else ()


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every expression once, operands before users; expressions inside loaded indices included."""
    seen: set[int] = set()
    stack: list[tuple[Expr, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        x, done = stack.pop()
        if done:
            yield x
            continue
        if x.number in seen:
            continue
        seen.add(x.number)
        stack.append((x, True))
        stack.extend((operand, False) for operand in reversed(parts_of(x)) if operand.number not in seen)


def parts_of(x: Expr) -> tuple[Expr, ...]:
    """The operands, and for indices read from data the expressions that compute them."""
    indices = indices_of(x)
    loaded = tuple(atom.value for index in indices for atom in atoms_of(index) if isinstance(atom, Loaded)) if indices else ()
    return loaded + x.operands


def rebuild(x: Expr, operands: tuple[Expr, ...]) -> Expr:
    """`x` with other operands."""
    if all(a is b for a, b in zip(operands, x.operands, strict=True)):
        return x
    if isinstance(x, Guard):
        return guard(*operands)
    if isinstance(x, Reduce):
        return reduce(x.kind, x.reduced, operands[0])
    assert isinstance(x, Scalar)
    if x.function == "cast":
        return cast(operands[0], x.dtype)
    return bitcast(operands[0], x.dtype) if x.function == "bitcast" else apply(x.function, *operands)


def transform(root: Expr, leaf: Callable[[Expr], Expr | None]) -> Expr:
    """`root` with every subexpression for which `leaf` gives an answer replaced by that answer."""
    done: dict[int, Expr] = {}
    stack = [root]
    while stack:
        x = stack[-1]
        if x.number in done:
            stack.pop()
            continue
        answer = leaf(x)
        if answer is None:
            pending = [operand for operand in x.operands if operand.number not in done]
            if pending:
                stack.extend(pending)
                continue
            answer = rebuild(x, tuple(done[operand.number] for operand in x.operands))
        done[x.number] = answer
        stack.pop()
    return done[root.number]


def substitute_axes(root: Expr, values: Mapping[Atom, Dim]) -> Expr:
    """`root` with axes (and size symbols) replaced by other indices."""

    def leaf(x: Expr) -> Expr | None:
        if isinstance(x, Load):
            index = tuple(substitute(part, values) for part in x.index)
            return x if index == x.index else load(x.buffer, index)
        if isinstance(x, IndexValue):
            return index_value(substitute(x.index, values))
        if isinstance(x, Reduce):
            reduced = tuple(_renamed(axis, values) for axis in x.reduced)
            if reduced != x.reduced:
                return reduce(x.kind, reduced, substitute_axes(x.body, values))
        return None

    return transform(root, leaf)


def _renamed(axis: Axis, values: Mapping[Atom, Dim]) -> Axis:
    """A reduced axis under a substitution: renamed if it is mapped to another axis."""
    to = values.get(axis)
    if isinstance(to, Size) and len(to.terms) == 1 and len(to.terms[0][0]) == 1 and isinstance(to.terms[0][0][0], Axis):
        return to.terms[0][0][0]
    size = substitute(axis.size, values)
    return axis if size == axis.size else Axis(axis.key, size)


def inline(expression: Expr, operands: tuple[Expr, ...]) -> Expr:
    """A declared scalar expression with its variables replaced by `operands`."""
    return transform(expression, lambda x: operands[x.position] if isinstance(x, Variable) else None)
