"""Kernel expressions to LLVM IR at one point, or at a vector of points, of the open loops.

An expression is emitted in the outermost scope in which its axes are bound, so loop invariants are hoisted by construction
and every expression is computed once per scope. At most one axis is a vector axis at a time: what does not depend on it
stays scalar until it meets something that does.
"""

from __future__ import annotations

from collections.abc import Callable

from graphdl.kernel.expression import Buffer, Const, Expr, Guard, IndexValue, Load, Reduce, Scalar, apply, const, is_const, logical_and, walk
from graphdl.kernel.expression import guard as make_guard
from graphdl.sizes import as_size, ceildiv, floordiv

from ..llvm import I1, Function, Value
from ..target import Target
from .accesses import Accesses
from .choice import is_choice
from .comparison import ORDERED, bound_of
from .indices import LanesBase
from .registers import REGISTER
from .scalar import emit_scalar
from .scoping import Lanes


class Emitter(Accesses):
    """Emits expressions into one function."""

    def __init__(
        self, f: Function, target: Target, pointer: Callable[[Buffer], Value], symbol: Callable[[str], Value], report: Callable[[Value, int], None]
    ) -> None:
        super().__init__(f, target, pointer, symbol, report)
        self.sums: dict[int, Value] = {}  # values given from outside, e.g. a contraction's finished sums

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
        with self.at_depth(self.depth_of(axes)):
            scope = self.f.scope
            known = scope.memo.get(key)
            if known is None:
                known = self._emit(x, guard)
                scope.memo[key] = known
        return known

    def _emit(self, x: Expr, guard: Expr | None) -> Value:
        if isinstance(x, Scalar):
            return self._scalar(x, guard)
        if isinstance(x, Load):
            return self.load(x, guard)
        if isinstance(x, IndexValue):
            return self.index(x.index, guard)
        if isinstance(x, Guard):
            return self._guarded(x, guard)
        assert isinstance(x, Reduce)
        from .reduction import emit_reduction

        return emit_reduction(self, x, guard)

    def _scalar(self, x: Scalar, guard: Expr | None) -> Value:
        if self.lanes is not None and x.function in ORDERED:
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
        step, there = parts[0], as_size(LanesBase(lanes.axis, lanes.base)) * parts[0] + parts[1]
        if step < 0:  # lane * -step < there
            return self.f.tail_mask(self.index(ceildiv(there, -step)), lanes.count)
        outside = self.f.tail_mask(self.index(floordiv(-there, step) + 1), lanes.count)
        return self.f.bit_xor(outside, I1.with_lanes(lanes.count).const(True))

    def _guarded(self, x: Guard, guard: Expr | None) -> Value:
        """Both sides, each with loads only where it is chosen."""
        if is_choice(x, None if self.lanes is None else self.lanes.axis):
            return self.load_chosen(x, guard)
        inner, outer = _both(guard, x.predicate), _both(guard, apply("bit_not", x.predicate))
        if self._loads_zeros(x):
            return self.value(x.body, inner)
        predicate, body, otherwise = self.same_lanes([self.value(x.predicate, guard), self.value(x.body, inner), self.value(x.otherwise, outer)])
        return self.f.select(predicate, body, otherwise)

    def _loads_zeros(self, x: Guard) -> bool:
        """Whether what is not loaded is wanted as zeros, as masked loads leave it."""
        lanes = self.lanes
        return isinstance(x.body, Load) and is_const(x.otherwise, 0.0) and lanes is not None and lanes.axis in x.body.axes


def _both(first: Expr | None, second: Expr) -> Expr:
    """Whether both hold; `second` is not computed where `first` does not hold if it reads memory."""
    if first is None:
        return second
    reads = any(isinstance(x, Load) for x in walk(second))
    return make_guard(first, second, const(False, "bool")) if reads else logical_and(first, second)
