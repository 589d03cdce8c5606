"""Loops over lanes, and what they store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphdl.kernel.expression import Axis
from graphdl.kernel.program import Store

from ..llvm import I64, Value
from .emitter import Emitter
from .function import KernelFunction

AT_ONCE = 4  # masked registers in one step over the rest


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
        step = min(self.lanes, AT_ONCE * self.single)
        if self.known is not None:
            registers = -(-(self.known % self.lanes) // self.single)
            step = min(step, self.single << (registers.bit_length() - 1))  # other than powers of two are taken apart, element by element
        with f.loop(self.split, self.end, step) as loop:
            mask = f.tail_mask(f.sub(self.end, loop.index), step)
            with emitter.vector(self.axis, loop.index, step, mask):
                body()


def vector_loop(kernel: KernelFunction, axis: Axis, begin: Value, end: Value, lanes: int, single: int, body: Callable[[], None]) -> None:
    """Run `body` for `axis` in [begin, end)."""
    loop = VectorLoop(kernel, axis, begin, end, lanes, single)
    loop.whole(body)
    loop.rest(body)
