"""Loops over lanes, and what they store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphdl.kernel.expression import Axis
from graphdl.kernel.program import Store

from ..llvm import I64, Value
from .emitter import Emitter
from .function import KernelFunction

AT_ONCE = 4  # masked registers in one step over the rest
Body = Callable[[list[Value]], list[Value]]  # the values that a step finds, to those that it leaves


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

    @property
    def rest_lanes(self) -> int:
        """Lanes of one step over the rest, a power of two; 0 where it goes one by one."""
        if self.lanes < 2 or not self.emitter.target.has_masks:
            return 0
        step = min(self.lanes, AT_ONCE * self.single)
        if self.known is None:
            return step
        registers = max(-(-(self.known % self.lanes) // self.single), 1)
        return min(step, self.single << (registers.bit_length() - 1))

    def whole(self, body: Body, start: Sequence[Value] = ()) -> list[Value]:
        """The whole vectors, if there can be any. Returns what the last one leaves; nothing if there are none."""
        if self.lanes < 2 or (self.known is not None and self.known < self.lanes):
            return []
        with self.f.loop(self.begin, self.split, self.lanes, start) as loop, self.emitter.vector(self.axis, loop.index, self.lanes, None):
            loop.next = body(loop.carried)
        return loop.carried

    def rest(self, body: Body, start: Sequence[Value] = ()) -> list[Value]:
        """What comes after them, if there can be anything. Returns what the last step leaves; nothing if there is none."""
        f, emitter, step = self.f, self.emitter, self.rest_lanes
        if self.known is not None and self.lanes > 1 and self.known % self.lanes == 0:
            return []
        with f.loop(self.split, self.end, step or 1, start) as loop:
            mask = f.tail_mask(f.sub(self.end, loop.index), step) if step else None
            with emitter.vector(self.axis, loop.index, step, mask):
                loop.next = body(loop.carried)
        return loop.carried


def vector_loop(kernel: KernelFunction, axis: Axis, begin: Value, end: Value, lanes: int, single: int, body: Callable[[], None]) -> None:
    """Run `body` for `axis` in [begin, end)."""
    loop = VectorLoop(kernel, axis, begin, end, lanes, single)
    loop.whole(carrying_nothing(body))
    loop.rest(carrying_nothing(body))


def carrying_nothing(body: Callable[[], None]) -> Body:
    """A body of a loop that hands nothing from step to step."""

    def run(held: list[Value]) -> list[Value]:
        body()
        return held

    return run
