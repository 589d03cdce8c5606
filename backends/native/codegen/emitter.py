"""Kernel expressions to LLVM IR at one point, or at a vector of points, of the open loops.

An expression is emitted in the outermost scope in which its axes are bound, so loop invariants are hoisted by construction
and every expression is computed once per scope. At most one axis is a vector axis at a time: what does not depend on it
stays scalar until it meets something that does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from graphdl.kernel.expression import (
    Axis,
    Buffer,
    Const,
    Expr,
    Guard,
    IndexValue,
    Load,
    Loaded,
    Reduce,
    Scalar,
    apply,
    axes_of,
    const,
    is_const,
    logical_and,
    walk,
)
from graphdl.kernel.expression import guard as make_guard
from graphdl.sizes import Atom, Combined, Dim, Size, SymbolAtom, as_size, atoms_of, ceildiv, floordiv, terms_of

from ..llvm import I1, I64, Function, Scope, Type, Value
from ..target import Target
from .affine import linear_part
from .choice import chosen_address, is_choice
from .registers import MEMORY, REGISTER, to_memory, to_register
from .scalar import emit_scalar
from .strided import is_strided, strided_load, strided_store

_ORDERED = {"less", "less_equal", "greater", "greater_equal"}


@dataclass(frozen=True)
class Lanes:
    """The open vector axis: its first index, the number of lanes, and which of them are on (None: all)."""

    axis: Axis
    base: Value
    count: int
    mask: Value | None


class Emitter:
    """Emits expressions into one function. `pointer` and `symbol` give buffers' addresses and the values of symbolic sizes."""

    def __init__(
        self, f: Function, target: Target, pointer: Callable[[Buffer], Value], symbol: Callable[[str], Value], report: Callable[[Value, int], None]
    ) -> None:
        self.f = f
        self.target = target
        self.pointer = pointer
        self.symbol = symbol
        self.report = report
        self.bound: dict[Axis, Value] = {}
        self.depth: dict[Axis, int] = {}
        self.scopes: list[Scope] = [f.scope]
        self.lanes: Lanes | None = None
        self.sums: dict[int, Value] = {}  # values given from outside, e.g. a contraction's finished sums
        self.local: dict[Buffer, Value] = {}  # addresses of memory that only this function knows
        self.streamed: frozenset[Buffer] = frozenset()  # what is stored past the caches, in whole aligned lines

    # -- loops --------------------------------------------------------------------------------------------------

    @contextmanager
    def binding(self, axis: Axis, value: Value) -> Iterator[None]:
        """`axis` has the scalar `value` in the current scope of the function."""
        self.bound[axis] = value
        self.depth[axis] = len(self.scopes)
        self.scopes.append(self.f.scope)
        try:
            yield
        finally:
            self.scopes.pop()
            del self.bound[axis], self.depth[axis]

    @contextmanager
    def vector(self, axis: Axis, base: Value, count: int, mask: Value | None) -> Iterator[None]:
        """`axis` runs over `count` lanes from `base` on; one scalar if `count` is 0."""
        if count == 0:
            with self.binding(axis, base):
                yield
            return
        outer, self.lanes = self.lanes, Lanes(axis, base, count, mask)
        self.depth[axis] = len(self.scopes)
        self.scopes.append(self.f.scope)
        try:
            yield
        finally:
            self.scopes.pop()
            del self.depth[axis]
            self.lanes = outer

    @contextmanager
    def at_depth(self, depth: int) -> Iterator[None]:
        """Emit into the scope of that depth, as if the loops inside were not open yet."""
        if depth == len(self.scopes) - 1:
            yield
            return
        scopes, lanes = self.scopes, self.lanes
        self.scopes = scopes[: depth + 1]
        if lanes is not None and self.depth[lanes.axis] > depth:
            self.lanes = None
        try:
            with self.f.at(scopes[depth]):
                yield
        finally:
            self.scopes, self.lanes = scopes, lanes

    def above(self, axes: frozenset[Axis]) -> AbstractContextManager[None]:
        """Emit as far out as what depends on `axes` can stand."""
        return self.at_depth(self._depth_of(axes))

    def _depth_of(self, axes: frozenset[Axis]) -> int:
        return max((self.depth[axis] for axis in axes if axis in self.depth), default=0)

    # -- values -------------------------------------------------------------------------------------------------

    def value(self, x: Expr, guard: Expr | None = None) -> Value:
        """The value of `x`, scalar if it does not depend on the vector axis. Loads happen only where `guard` holds."""
        if x.number in self.sums:
            return self.sums[x.number]
        if isinstance(x, Const):
            return REGISTER[x.dtype].const(x.value)
        if isinstance(x, Reduce) and guard is not None and guard.axes and x.axes.isdisjoint(guard.axes):
            guard = None  # it is the same at every point, so it is computed once and not where the guard holds
        axes = x.axes | guard.axes if guard is not None else x.axes
        key = (x.number, None if guard is None else guard.number)
        with self.at_depth(self._depth_of(axes)):
            scope = self.f.scope
            known = scope.memo.get(key)
            if known is None:
                known = self._emit(x, guard)
                scope.memo[key] = known
        return known

    def spread(self, value: Value) -> Value:
        """A value in all lanes of the open vector axis."""
        return self.f.splat(value, self.lanes.count) if self.lanes is not None else value

    def _emit(self, x: Expr, guard: Expr | None) -> Value:
        if isinstance(x, Scalar):
            return self._scalar(x, guard)
        if isinstance(x, Load):
            return self._load(x, guard)
        if isinstance(x, IndexValue):
            return self.index(x.index, guard)
        if isinstance(x, Guard):
            return self._guarded(x, guard)
        assert isinstance(x, Reduce)
        from .reduction import emit_reduction

        return emit_reduction(self, x, guard)

    def _scalar(self, x: Scalar, guard: Expr | None) -> Value:
        if self.lanes is not None and x.function in _ORDERED:
            below = self._lanes_below(x, self.lanes)
            if below is not None:
                return below
        operands = self.same_lanes([self.value(operand, guard) for operand in x.operands])
        return emit_scalar(self.f, x.function, x.dtype, x.operands[-1].dtype, operands)

    def _lanes_below(self, x: Scalar, lanes: Lanes) -> Value | None:
        """A comparison of indices that holds up to a lane, or from a lane on: lanes are compared, not indices."""
        parts = bound_of(x, lanes.axis)
        if parts is None or parts[0] == 0:
            return None
        step, there = parts[0], as_size(_Base(lanes.axis, lanes.base)) * parts[0] + parts[1]
        if step < 0:  # lane * -step < there
            return self.f.tail_mask(self.index(ceildiv(there, -step)), lanes.count)
        outside = self.f.tail_mask(self.index(floordiv(-there, step) + 1), lanes.count)
        return self.f.bit_xor(outside, I1.with_lanes(lanes.count).const(True))

    def same_lanes(self, values: list[Value]) -> list[Value]:
        """Scalars are spread as soon as one of the values is a vector."""
        lanes = max(value.type.lanes for value in values)
        return [self.f.splat(value, lanes) if lanes else value for value in values]

    def _guarded(self, x: Guard, guard: Expr | None) -> Value:
        """Both sides, each with loads only where it is chosen."""
        if is_choice(x, None if self.lanes is None else self.lanes.axis):
            return self._chosen(x, guard)
        inner, outer = _both(guard, x.predicate), _both(guard, apply("bit_not", x.predicate))
        if self._loads_zeros(x):
            return self.value(x.body, inner)
        predicate, body, otherwise = self.same_lanes([self.value(x.predicate, guard), self.value(x.body, inner), self.value(x.otherwise, outer)])
        return self.f.select(predicate, body, otherwise)

    def _loads_zeros(self, x: Guard) -> bool:
        """Whether what is not loaded is wanted as zeros, as masked loads leave it."""
        lanes = self.lanes
        return isinstance(x.body, Load) and is_const(x.otherwise, 0.0) and lanes is not None and lanes.axis in x.body.axes

    # -- loads --------------------------------------------------------------------------------------------------

    def _load(self, x: Load, guard: Expr | None) -> Value:
        memory = MEMORY[x.dtype]
        (offset,) = x.index
        if self.lanes is None or self.lanes.axis not in x.axes:
            return to_register(self.f, self._load_one(x.buffer, memory, offset, guard), x.dtype)
        return to_register(self.f, self._load_lanes(x.buffer, memory, offset, guard), x.dtype)

    def _chosen(self, x: Guard, guard: Expr | None) -> Value:
        """One load from the place that is chosen."""
        memory, lanes = MEMORY[x.dtype], self.lanes
        start = chosen_address(self, x, memory, None if lanes is None else lanes.axis)
        if lanes is None:
            return to_register(self.f, self._load_at(start, memory, guard), x.dtype)
        loaded = self.f.load(self.f.offset(start, lanes.base, memory.scalar), memory.with_lanes(lanes.count), self._mask(guard))
        return to_register(self.f, loaded, x.dtype)

    def _load_one(self, buffer: Buffer, memory: Type, offset: Dim, guard: Expr | None) -> Value:
        return self._load_at(self.address(buffer, offset, memory, guard), memory, guard)

    def _load_at(self, address: Value, memory: Type, guard: Expr | None) -> Value:
        if guard is not None:
            address = self.f.select(self._anywhere(guard), address, self._nowhere())
        return self.f.load(address, memory)

    def _anywhere(self, guard: Expr) -> Value:
        """Whether `guard` holds in any of the lanes that are on."""
        on = self.value(guard)
        if not on.type.lanes:
            return on
        masked = self._mask(guard)
        assert masked is not None
        return self.f.intrinsic("vector.reduce.or", I1, masked, overload=[masked.type])

    def _nowhere(self) -> Value:
        """A readable word for loads whose guard is off."""
        root = self.scopes[0]
        if "nowhere" not in root.memo:
            root.memo["nowhere"] = self.f.alloca(I64, 1)
        return root.memo["nowhere"]

    def _load_lanes(self, buffer: Buffer, memory: Type, offset: Dim, guard: Expr | None) -> Value:
        lanes = self.lanes
        assert lanes is not None
        wide = memory.with_lanes(lanes.count)
        mask = self._mask(guard)
        parts = linear_part(offset, lanes.axis)
        if parts is not None and parts[0] == 1:
            start = self.f.offset(self.address(buffer, parts[1], memory, guard), lanes.base, memory.scalar)
            return self.f.load(start, wide, mask)
        if parts is not None and self.target.has_masks and is_strided(parts[0]):
            start = self.f.offset(self.address(buffer, parts[1], memory, guard), self.f.mul(lanes.base, I64.const(parts[0])), memory.scalar)
            return strided_load(self.f, start, wide, parts[0], mask)
        return self.f.gather(self.addresses(buffer, offset, memory, guard), wide, mask)

    def _mask(self, guard: Expr | None) -> Value | None:
        """The lanes that are within the loop and whose guard holds."""
        assert self.lanes is not None
        if guard is None:
            return self.lanes.mask
        on = self.spread(self.value(guard))
        return on if self.lanes.mask is None else self.f.bit_and(on, self.lanes.mask)

    def address(self, buffer: Buffer, offset: Dim, memory: Type, guard: Expr | None = None) -> Value:
        """The address of an element whose offset does not depend on the vector axis, computed as far out as it can be."""
        guard = guard if _reads_data(offset) else None
        axes = axes_of(offset) if guard is None else axes_of(offset) | guard.axes
        key = ("address", buffer.storage, offset, guard)
        with self.at_depth(self._depth_of(axes)):
            scope = self.f.scope
            if key not in scope.memo:
                pointer = self.local[buffer] if buffer in self.local else self.pointer(buffer)
                scope.memo[key] = self.f.offset(pointer, self.index(offset, guard), memory.scalar)
            return scope.memo[key]

    def addresses(self, buffer: Buffer, offset: Dim, memory: Type, guard: Expr | None = None) -> Value:
        """One address per lane."""
        lanes = self.lanes
        assert lanes is not None
        base = self.f.splat(self.pointer(buffer), lanes.count)
        parts = linear_part(offset, lanes.axis)
        if parts is None:
            return self.f.offset(base, self.index(offset, guard), memory.scalar)
        first = self.index(parts[1] + parts[0] * as_size(_Base(lanes.axis, lanes.base)), guard)
        steps = self.f.mul(self.f.lanes_index(I64.with_lanes(lanes.count)), self.f.splat(self.index(parts[0]), lanes.count))
        start = self.f.splat(self.f.offset(self.pointer(buffer), first, memory.scalar), lanes.count)
        return self.f.offset(start, steps, memory.scalar)

    def store(self, buffer: Buffer, offset: Dim, value: Value, dtype: str) -> None:
        """Store one element, or one per lane."""
        memory = MEMORY[dtype]
        lanes = self.lanes
        if lanes is None or lanes.axis not in axes_of(offset):
            self.f.store(to_memory(self.f, value, dtype), self.address(buffer, offset, memory))
            return
        held = to_memory(self.f, self.spread(value), dtype)
        parts = linear_part(offset, lanes.axis)
        if parts is not None and parts[0] == 1:
            start = self.f.offset(self.address(buffer, parts[1], memory), lanes.base, memory.scalar)
            if buffer.storage in self.streamed:
                self.f.stream(held, start, self.target.vector_bytes)
            else:
                self.f.store(held, start, lanes.mask)
        elif parts is not None and self.target.has_masks and is_strided(parts[0]):
            start = self.f.offset(self.address(buffer, parts[1], memory), self.f.mul(lanes.base, I64.const(parts[0])), memory.scalar)
            strided_store(self.f, held, start, parts[0], lanes.mask)
        else:
            self.f.scatter(held, self.addresses(buffer, offset, memory), lanes.mask)

    # -- indices ------------------------------------------------------------------------------------------------

    def index(self, index: Dim, guard: Expr | None = None) -> Value:
        """An index polynomial as i64, a vector if it depends on the vector axis."""
        if isinstance(index, int):
            return I64.const(index)
        total: Value | None = None
        for monomial, factor in index.terms:
            term = self._monomial(monomial, factor, guard)
            total = term if total is None else self.f.add(*self.same_lanes([total, term]))
        assert total is not None
        return total

    def _monomial(self, monomial: tuple[Atom, ...], factor: int, guard: Expr | None) -> Value:
        if not monomial:
            return I64.const(factor)
        term = self._atom(monomial[0], guard)
        for atom in monomial[1:]:
            term = self.f.mul(*self.same_lanes([term, self._atom(atom, guard)]))
        return term if factor == 1 else self.f.mul(term, term.type.const(factor))

    def _atom(self, atom: Atom, guard: Expr | None) -> Value:
        if isinstance(atom, _Base):
            return atom.value
        if isinstance(atom, SymbolAtom):
            return self.symbol(atom.key)
        if isinstance(atom, Axis):
            return self._axis(atom)
        index = as_size(atom)
        guard = guard if _reads_data(index) else None
        axes = axes_of(index) if guard is None else axes_of(index) | guard.axes
        key = ("atom", atom, guard)
        with self.at_depth(self._depth_of(axes)):
            scope = self.f.scope
            if key not in scope.memo:
                scope.memo[key] = self._loaded(atom, guard) if isinstance(atom, Loaded) else self._combined(atom, guard)
            return scope.memo[key]

    def _axis(self, axis: Axis) -> Value:
        if axis in self.bound:
            return self.bound[axis]
        lanes = self.lanes
        assert lanes is not None, f"axis {axis} is not open"
        assert lanes.axis == axis, f"axis {axis} is not open"
        return self.f.add(self.f.splat(lanes.base, lanes.count), self.f.lanes_index(I64.with_lanes(lanes.count)))

    def _combined(self, atom: Atom, guard: Expr | None) -> Value:
        assert isinstance(atom, Combined)
        left, right = self.same_lanes([self.index(atom.left, guard), self.index(atom.right, guard)])
        if atom.function in ("min", "max"):
            return self.f.intrinsic("smin" if atom.function == "min" else "smax", left.type, left, right)
        quotient, remainder = _floored(self.f, left, right)
        return quotient if atom.function == "floordiv" else remainder

    def _loaded(self, atom: Loaded, guard: Expr | None) -> Value:
        """An index from data: wrapped if it may be negative, and checked in the lanes that are on; the others have index 0."""
        f = self.f
        raw, size = self.same_lanes([self.value(atom.value, guard), self.index(atom.size)])
        wrapped = f.select(f.compare("slt", raw, raw.type.const(0)), f.add(raw, size), raw) if atom.wraps else raw
        inside = f.compare("ult", wrapped, size)
        bad = f.bit_xor(inside, inside.type.const(True))
        on = self._on(guard, bad.type.lanes)
        bad = bad if on is None else f.bit_and(bad, on)
        self.report(f.intrinsic("vector.reduce.or", I1, bad, overload=[bad.type]) if bad.type.lanes else bad, atom.site)
        return f.select(inside, wrapped, raw.type.const(0))

    def _on(self, guard: Expr | None, lanes: int) -> Value | None:
        """Where a value with so many lanes is wanted at all; None for everywhere."""
        if lanes:
            return self._mask(guard)
        return None if guard is None else self._anywhere(guard)


def bound_of(condition: Expr, axis: Axis) -> tuple[int, Dim] | None:
    """(factor, rest): the condition holds where factor * axis + rest is positive. None for one that is no such comparison of indices."""
    if not isinstance(condition, Scalar) or condition.function not in _ORDERED:
        return None
    left, right = (_index_of(operand) for operand in condition.operands)
    if left is None or right is None:
        return None
    smaller, larger = (left, right) if condition.function.startswith("less") else (right, left)
    bound = larger - smaller + int(condition.function.endswith("equal"))
    parts = linear_part(bound, axis)
    if parts is None or not isinstance(parts[0], int) or any(isinstance(atom, Loaded) for atom in atoms_of(bound)):
        return None
    return parts[0], parts[1]


def _index_of(x: Expr) -> Dim | None:
    """The index that an integer expression is, if it is one."""
    if isinstance(x, IndexValue):
        return x.index
    return int(x.value) if isinstance(x, Const) and x.dtype == "int64" else None


def _both(first: Expr | None, second: Expr) -> Expr:
    """Whether both hold; `second` is not computed where `first` does not hold if it reads memory."""
    if first is None:
        return second
    reads = any(isinstance(x, Load) for x in walk(second))
    return make_guard(first, second, const(False, "bool")) if reads else logical_and(first, second)


class _Base(Atom):
    """The first index of the open vector axis, as an atom, so that addresses are polynomials in it."""

    __slots__ = ("value",)

    def __init__(self, axis: Axis, value: Value) -> None:
        super().__init__(f"{axis.key}.base")
        self.value = value


def _floored(f: Function, left: Value, right: Value) -> tuple[Value, Value]:
    """Floor division and modulo by a positive divisor; a size of 0 divides as 1, as nothing is then read."""
    one, zero = right.type.const(1), right.type.const(0)
    safe = f.select(f.compare("eq", right, zero), one, right) if right.text.startswith("%") else right
    quotient, rest = f.div(left, safe), f.rem(left, safe)
    negative = f.compare("slt", rest, zero)
    return f.sub(quotient, f.convert("zext", negative, quotient.type)), f.add(rest, f.select(negative, safe, zero))


def _reads_data(offset: Dim) -> bool:
    return isinstance(offset, Size) and any(isinstance(atom, Loaded) for monomial, _ in terms_of(offset) for part in monomial for atom in part.atoms())
