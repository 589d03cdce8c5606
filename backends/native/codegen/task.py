"""What one task of a nest does: stores of leading axes first, then the loops over the inner axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphdl.kernel.expression import Axis, fresh_axis
from graphdl.kernel.program import Store
from graphdl.sizes import as_size

from ..llvm import I1, I64, Value
from .accumulation import accumulate
from .affine import Flat
from .beside import emit_beside
from .fetch import rows_of
from .function import KernelFunction
from .loops import VectorLoop, carrying_nothing, store_all, vector_loop
from .registers import MEMORY
from .rows import LONGEST, Row, keep_values, may_use_output
from .staging import emit_staged
from .stream import is_streamed, row_address, streamed_stores, wants_streams
from .tiles import emit_tiles

if TYPE_CHECKING:
    from .nest import NestSchedule


class Task:
    """The inside of a kernel function's loop over tasks."""

    def __init__(self, kernel: KernelFunction, flat: Flat, schedule: NestSchedule, may_stream: bool) -> None:
        self.kernel, self.f, self.emitter, self.schedule = kernel, kernel.f, kernel.emitter, schedule
        depth = len(schedule.outer)
        self.shallow = [store for store in flat.stores if len(store.axes) <= depth]
        self.deeper = [store for store in flat.stores if len(store.axes) > depth]
        self.rows: list[Row] = []
        self.in_output = False
        self.here = fresh_axis(1, "row")
        if schedule.kind == "row" and len(schedule.inner) == 1:
            self._keep_rows(schedule.inner[0])
        self.streamed: list[Store] = []
        if may_stream and schedule.inner and not self.in_output:
            self.streamed = streamed_stores(self.deeper, schedule.inner[-1], schedule.lanes, self.emitter.target)

    def _keep_rows(self, axis: Axis) -> None:
        """Decide where the values lie that several loops over the row need, if anywhere."""
        rows, stores = keep_values(self.deeper, axis, self.here)
        on_stack = isinstance(axis.size, int) and axis.size * len(rows) <= LONGEST
        self.in_output = not on_stack and may_use_output(rows, stores, axis)
        if not rows or not (on_stack or self.in_output):
            return
        self.rows, self.deeper = rows, stores
        if isinstance(axis.size, int) and on_stack:
            for row in rows:
                self.emitter.local[row.buffer] = self.f.alloca(MEMORY[row.value.dtype], axis.size)

    def run(self, block: Value | None) -> None:
        """Emit one task, at whose place the outer axes are bound."""
        store_all(self.emitter, self.shallow)
        if self.schedule.kind == "lines":
            self._lines(block)
        elif self.schedule.kind == "tiles":
            self._tiles(block)
        elif self.schedule.kind == "whole" and self.deeper:
            emit_beside(self.emitter, self.deeper, self.schedule.inner)
        elif self.schedule.kind == "staged":
            self._staged(self.schedule.inner, block)
        elif self.deeper:
            self._loops(list(self.schedule.inner), block)

    def finish(self) -> None:
        """What comes after the last task."""
        if self.streamed:
            with self.f.when(wants_streams(self.emitter)):
                self.f.fence()

    def _lines(self, block: Value | None) -> None:
        """The loops over the inner axes inside of the one over lanes, which holds the reductions."""
        axis = self.schedule.vector
        assert axis is not None

        def body(axes: Sequence[Axis]) -> None:
            if not axes:
                store_all(self.emitter, self.deeper)
                return
            with self.f.loop(I64.const(0), self.emitter.index(axes[0].size)) as loop, self.emitter.binding(axes[0], loop.index):
                body(axes[1:])

        begin, end = self._bounds(axis, block)
        vector_loop(self.kernel, axis, begin, end, self.schedule.lanes, self.schedule.single, lambda: body(self.schedule.inner))

    def _tiles(self, block: Value | None) -> None:
        assert self.schedule.vector is not None
        begin, end = self._bounds(self.schedule.vector, block)
        emit_tiles(self.kernel, self.deeper, self.schedule.vector, begin, end, self.schedule.inner[0], self.schedule.lanes)

    def _staged(self, axes: Sequence[Axis], block: Value | None) -> None:
        """The loops over axes before the one across the runs, then the tiles."""
        if axes[0] is not self.schedule.vector:
            with self.f.loop(I64.const(0), self.emitter.index(axes[0].size)) as loop, self.emitter.binding(axes[0], loop.index):
                self._staged(axes[1:], block)
            return
        emit_staged(self.kernel, self.deeper, axes, *self._bounds(axes[0], block), self.schedule.lanes)

    def _bounds(self, axis: Axis, block: Value | None) -> tuple[Value, Value]:
        f, end = self.f, self.emitter.index(axis.size)
        if block is None:
            return I64.const(0), end
        begin = f.mul(block, I64.const(self.schedule.block))
        return begin, f.intrinsic("smin", I64, f.add(begin, I64.const(self.schedule.block)), end)

    def _loops(self, axes: list[Axis], block: Value | None) -> None:
        f, emitter = self.f, self.emitter
        axis, *deeper = axes
        if deeper:
            with f.loop(I64.const(0), emitter.index(axis.size)) as loop, emitter.binding(axis, loop.index):
                self._loops(deeper, block)
            return
        begin, end = self._bounds(axis, block)
        with emitter.binding(self.here, I64.const(0)):
            for row in self.rows:
                if self.in_output:
                    emitter.local[row.buffer] = row_address(emitter, self.deeper[0], axis)
                store = Store(row.buffer, (axis,), (as_size(axis) + as_size(self.here),), row.value)
                read = rows_of(row.value, axis, self.schedule.outer)
                emitter.sums |= accumulate(emitter, self._vectors(axis, begin, end), store, row.accumulated, read)
            self._stores(self._vectors(axis, begin, end), is_streamed(emitter, self.streamed, axis, begin) if self.streamed else None)

    def _vectors(self, axis: Axis, begin: Value, end: Value) -> VectorLoop:
        return VectorLoop(self.kernel, axis, begin, end, self.schedule.lanes, self.schedule.single)

    def _stores(self, loop: VectorLoop, streamed: Value | None) -> None:
        """The deeper stores, past the caches where `streamed` holds."""
        emitter = self.emitter
        body = carrying_nothing(lambda: store_all(emitter, self.deeper))
        if streamed is None:
            loop.whole(body)
        else:
            with self.f.when(self.f.bit_xor(streamed, I1.const(True))):
                loop.whole(body)
            with self.f.when(streamed):
                emitter.streamed = frozenset(store.buffer.storage for store in self.streamed)
                loop.whole(body)
                emitter.streamed = frozenset()
        loop.rest(body)
