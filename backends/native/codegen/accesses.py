"""Loads and stores at one point, or at a vector of points, of the open loops."""

from __future__ import annotations

from collections.abc import Callable

from graphdl.kernel.expression import Buffer, Expr, Guard, Load, axes_of
from graphdl.sizes import Dim, as_size

from ..llvm import I64, Function, Type, Value
from ..target import Target
from .affine import linear_part
from .choice import chosen_address
from .indices import Indices, LanesBase, reads_data
from .registers import MEMORY, to_memory, to_register
from .strided import is_strided, strided_load, strided_store


class Accesses(Indices):
    """Emits addresses, loads and stores. `pointer` gives buffers' addresses."""

    def __init__(
        self, f: Function, target: Target, pointer: Callable[[Buffer], Value], symbol: Callable[[str], Value], report: Callable[[Value, int], None]
    ) -> None:
        super().__init__(f, symbol, report)
        self.target = target
        self.pointer = pointer
        self.local: dict[Buffer, Value] = {}  # addresses of memory that only this function knows
        self.streamed: frozenset[Buffer] = frozenset()  # what is stored past the caches, in whole aligned lines

    def load(self, x: Load, guard: Expr | None) -> Value:
        memory = MEMORY[x.dtype]
        (offset,) = x.index
        if self.lanes is None or self.lanes.axis not in x.axes:
            return to_register(self.f, self._load_one(x.buffer, memory, offset, guard), x.dtype)
        return to_register(self.f, self._load_lanes(x.buffer, memory, offset, guard), x.dtype)

    def load_chosen(self, x: Guard, guard: Expr | None) -> Value:
        """One load from the place that is chosen."""
        memory, lanes = MEMORY[x.dtype], self.lanes
        start = chosen_address(self, x, memory, None if lanes is None else lanes.axis)
        if lanes is None:
            return to_register(self.f, self._load_at(start, memory, guard), x.dtype)
        loaded = self.f.load(self.f.offset(start, lanes.base, memory.scalar), memory.with_lanes(lanes.count), self.mask(guard))
        return to_register(self.f, loaded, x.dtype)

    def _load_one(self, buffer: Buffer, memory: Type, offset: Dim, guard: Expr | None) -> Value:
        return self._load_at(self.address(buffer, offset, memory, guard), memory, guard)

    def _load_at(self, address: Value, memory: Type, guard: Expr | None) -> Value:
        if guard is not None:
            address = self.f.select(self.anywhere(guard), address, self._nowhere())
        return self.f.load(address, memory)

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
        mask = self.mask(guard)
        parts = linear_part(offset, lanes.axis)
        if parts is not None and parts[0] == 1:
            start = self.f.offset(self.address(buffer, parts[1], memory, guard), lanes.base, memory.scalar)
            return self.f.load(start, wide, mask)
        if parts is not None and self.target.has_masks and is_strided(parts[0]):
            start = self.f.offset(self.address(buffer, parts[1], memory, guard), self.f.mul(lanes.base, I64.const(parts[0])), memory.scalar)
            return strided_load(self.f, start, wide, parts[0], mask)
        return self.f.gather(self.addresses(buffer, offset, memory, guard), wide, mask)

    def address(self, buffer: Buffer, offset: Dim, memory: Type, guard: Expr | None = None) -> Value:
        """The address of an element whose offset does not depend on the vector axis, computed as far out as it can be."""
        guard = guard if reads_data(offset) else None
        axes = axes_of(offset) if guard is None else axes_of(offset) | guard.axes
        key = ("address", buffer.storage, offset, guard)
        with self.at_depth(self.depth_of(axes)):
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
        first = self.index(parts[1] + parts[0] * as_size(LanesBase(lanes.axis, lanes.base)), guard)
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
