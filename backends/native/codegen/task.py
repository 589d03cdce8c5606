"""What one task of a nest does: stores of leading axes first, then the loops over the inner axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from graphdl.kernel.expression import Axis, fresh_axis
from graphdl.kernel.program import Store
from graphdl.sizes import as_size

from ..llvm import I1, I64, Value
from .affine import Flat
from .emitter import Emitter
from .function import KernelFunction
from .registers import MEMORY
from .rows import LONGEST, Row, keep_values, may_use_output
from .stream import is_streamed, row_address, streamed_stores, wants_streams

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
        if self.deeper:
            self._loops(list(self.schedule.inner), block)

    def finish(self) -> None:
        """What comes after the last task."""
        if self.streamed:
            with self.f.when(wants_streams(self.emitter)):
                self.f.fence()

    def _loops(self, axes: list[Axis], block: Value | None) -> None:
        f, emitter = self.f, self.emitter
        axis, *deeper = axes
        if deeper:
            with f.loop(I64.const(0), emitter.index(axis.size)) as loop, emitter.binding(axis, loop.index):
                self._loops(deeper, block)
            return
        begin, end = I64.const(0), emitter.index(axis.size)
        if block is not None:
            begin = f.mul(block, I64.const(self.schedule.block))
            end = f.intrinsic("smin", I64, f.add(begin, I64.const(self.schedule.block)), end)
        with emitter.binding(self.here, I64.const(0)):
            for row in self.rows:
                if self.in_output:
                    emitter.local[row.buffer] = row_address(emitter, self.deeper[0], axis)
                self._vectors(axis, begin, end, [Store(row.buffer, (axis,), (as_size(axis) + as_size(self.here),), row.value)])
            on = is_streamed(emitter, self.streamed, axis, begin) if self.streamed else None
            self._vectors(axis, begin, end, self.deeper, on)

    def _vectors(self, axis: Axis, begin: Value, end: Value, stores: Sequence[Store], streamed: Value | None = None) -> None:
        """Stores for all of `axis`, past the caches where `streamed` holds."""
        emitter, schedule = self.emitter, self.schedule
        loop = VectorLoop(self.kernel, axis, begin, end, schedule.lanes, schedule.single)

        def body() -> None:
            store_all(emitter, stores)

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


def store_all(emitter: Emitter, stores: Sequence[Store]) -> None:
    """All values first: one of them may be written over what another one reads."""
    values = [emitter.value(store.value) for store in stores]
    for store, value in zip(stores, values, strict=True):
        emitter.store(store.buffer, store.index[0], value, store.value.dtype)


class VectorLoop:
    """A loop for `axis` in [begin, end): whole vectors first, the rest under masks, or one by one where masks are slow."""

    def __init__(self, kernel: KernelFunction, axis: Axis, begin: Value, end: Value, lanes: int, single: int) -> None:
        self.f, self.emitter = kernel.f, kernel.emitter
        self.axis, self.begin, self.end, self.lanes, self.single = axis, begin, end, lanes, single
        constant = not (begin.text + end.text).count("%")
        self.known = int(end.text) - int(begin.text) if constant else None
        if lanes < 2:
            self.split = begin
        elif self.known is not None:
            self.split = I64.const(int(begin.text) + self.known // lanes * lanes)
        else:
            count = self.f.sub(end, begin)
            self.split = self.f.add(begin, self.f.sub(count, self.f.rem(count, I64.const(lanes))))

    def whole(self, body: Callable[[], None]) -> None:
        """The whole vectors, if there can be any."""
        if self.lanes < 2 or (self.known is not None and self.known < self.lanes):
            return
        with self.f.loop(self.begin, self.split, self.lanes) as loop, self.emitter.vector(self.axis, loop.index, self.lanes, None):
            body()

    def rest(self, body: Callable[[], None]) -> None:
        """What comes after them, if there can be anything."""
        f, emitter = self.f, self.emitter
        if self.known is not None and self.lanes > 1 and self.known % self.lanes == 0:
            return
        if self.lanes < 2 or not emitter.target.has_masks:
            with f.loop(self.split, self.end) as loop, emitter.binding(self.axis, loop.index):
                body()
            return
        with f.loop(self.split, self.end, self.single) as loop:
            mask = f.tail_mask(f.sub(self.end, loop.index), self.single)
            with emitter.vector(self.axis, loop.index, self.single, mask):
                body()


def vector_loop(kernel: KernelFunction, axis: Axis, begin: Value, end: Value, lanes: int, single: int, body: Callable[[], None]) -> None:
    """Run `body` for `axis` in [begin, end)."""
    loop = VectorLoop(kernel, axis, begin, end, lanes, single)
    loop.whole(body)
    loop.rest(body)
