"""Index polynomials at one point, or at a vector of points, of the open loops."""

from __future__ import annotations

from collections.abc import Callable

from graphdl.kernel.expression import Axis, Expr, Loaded, axes_of
from graphdl.sizes import Atom, Combined, Dim, Size, SymbolAtom, as_size, terms_of

from ..llvm import I1, I64, Function, Value
from .scoping import Scoping


class Indices(Scoping):
    """Emits indices. `symbol` gives the values of symbolic sizes; `report` notes that an index from data is outside of its axis."""

    def __init__(self, f: Function, symbol: Callable[[str], Value], report: Callable[[Value, int], None]) -> None:
        super().__init__(f)
        self.symbol = symbol
        self.report = report

    def value(self, x: Expr, guard: Expr | None = None) -> Value:
        """The value of an expression, such as an index from data or a condition."""
        raise NotImplementedError

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
        if isinstance(atom, LanesBase):
            return atom.value
        if isinstance(atom, SymbolAtom):
            return self.symbol(atom.key)
        if isinstance(atom, Axis):
            return self._axis(atom)
        index = as_size(atom)
        guard = guard if reads_data(index) else None
        axes = axes_of(index) if guard is None else axes_of(index) | guard.axes
        key = ("atom", atom, guard)
        with self.at_depth(self.depth_of(axes)):
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
            return self.mask(guard)
        return None if guard is None else self.anywhere(guard)

    def mask(self, guard: Expr | None) -> Value | None:
        """The lanes that are within the loop and whose guard holds."""
        assert self.lanes is not None
        if guard is None:
            return self.lanes.mask
        on = self.spread(self.value(guard))
        return on if self.lanes.mask is None else self.f.bit_and(on, self.lanes.mask)

    def anywhere(self, guard: Expr) -> Value:
        """Whether `guard` holds in any of the lanes that are on."""
        on = self.value(guard)
        if not on.type.lanes:
            return on
        masked = self.mask(guard)
        assert masked is not None
        return self.f.intrinsic("vector.reduce.or", I1, masked, overload=[masked.type])


class LanesBase(Atom):
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


def reads_data(offset: Dim) -> bool:
    """Whether an index comes from data anywhere in it."""
    return isinstance(offset, Size) and any(isinstance(atom, Loaded) for monomial, _ in terms_of(offset) for part in monomial for atom in part.atoms())
