"""Walking expressions, rebuilding them with parts replaced, and indices that are themselves computed by expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from ...sizes import Atom, Dim, Size, Substitution, as_size, atoms_of, substitute
from .build import apply, bitcast, cast, guard, index_value, load, reduce
from .node import Axis, Expr, Guard, Index, IndexValue, Load, Reduce, Scalar, Variable


class Loaded(Atom):
    """An index read from data: `value` (of int64) into an axis of `size`.

    Negative values count from the end, as in NumPy, if it `wraps`. Any other value outside the axis ends the kernel and is reported under `site`.
    """

    __slots__ = ("site", "size", "value", "wraps")
    closed = False  # the extents of reductions inside are not among the atoms

    def __init__(self, value: Expr, size: Dim, site: int, wraps: bool = True) -> None:
        super().__init__(f"load{value.number}/{size}@{site}{'' if wraps else '+'}")
        self.value = value
        self.size = size
        self.site = site
        self.wraps = wraps

    def upper(self) -> Dim | None:
        return self.size - 1

    def substitute(self, values: Substitution) -> Dim:
        if (found := values.get(self)) is not None:
            return found
        moved = substitute_axes(self.value, values)
        size = substitute(self.size, values)
        return as_size(self if moved is self.value and size == self.size else Loaded(moved, size, self.site, self.wraps))

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


def loaded_index(value: Expr, size: Dim, wraps: bool = True) -> Dim:
    """An index that is data, into an axis of `size`: negative values count from the end, as in NumPy, if it `wraps`."""
    return as_size(Loaded(cast(value, "int64"), size, _site.get()(size), wraps))


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every expression once, operands before users; expressions inside loaded indices included."""
    if len(roots) == 1:
        yield from _below(roots[0])
        yield roots[0]
        return
    seen: set[int] = set()
    for root in roots:
        for x in (*_below(root), root):
            if x.number not in seen:
                seen.add(x.number)
                yield x


def _below(root: Expr) -> tuple[Expr, ...]:
    """All that `root` is made of, without itself. It never changes, and many ask for it again."""
    try:
        return root.below
    except AttributeError:
        root.below = tuple(_search(root))[:-1]
        return root.below


def _search(root: Expr) -> Iterator[Expr]:
    seen: set[int] = set()
    stack: list[tuple[Expr, bool]] = [(root, False)]
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
    known = values if isinstance(values, Substitution) else Substitution(values)

    def leaf(x: Expr) -> Expr | None:
        if isinstance(x, Load):
            index = tuple(substitute(part, known) for part in x.index)
            return x if index == x.index else load(x.buffer, index)
        if isinstance(x, IndexValue):
            return index_value(substitute(x.index, known))
        if isinstance(x, Reduce):
            reduced = tuple(_renamed(axis, known) for axis in x.reduced)
            if reduced != x.reduced:
                return reduce(x.kind, reduced, substitute_axes(x.body, known))
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
