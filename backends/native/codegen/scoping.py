"""Open loops, and the scopes that what is emitted can stand in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from graphdl.kernel.expression import Axis
from graphdl.record import record

from ..llvm import Function, Scope, Value


@record
class Lanes:
    """The open vector axis: its first index, the number of lanes, and which of them are on (None: all)."""

    axis: Axis
    base: Value
    count: int
    mask: Value | None


class Scoping:
    """The axes that are open in one function: one of them at most is a vector axis."""

    def __init__(self, f: Function) -> None:
        self.f = f
        self.bound: dict[Axis, Value] = {}
        self.depth: dict[Axis, int] = {}
        self.scopes: list[Scope] = [f.scope]
        self.lanes: Lanes | None = None

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
        return self.at_depth(self.depth_of(axes))

    def depth_of(self, axes: frozenset[Axis]) -> int:
        return max((self.depth[axis] for axis in axes if axis in self.depth), default=0)

    def spread(self, value: Value) -> Value:
        """A value in all lanes of the open vector axis."""
        return self.f.splat(value, self.lanes.count) if self.lanes is not None else value

    def same_lanes(self, values: list[Value]) -> list[Value]:
        """Scalars are spread as soon as one of the values is a vector."""
        lanes = max(value.type.lanes for value in values)
        return [self.f.splat(value, lanes) if lanes else value for value in values]
