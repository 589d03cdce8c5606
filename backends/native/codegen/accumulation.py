"""Reductions over a row that go along with the loop that computes its values: a softmax sums its exponentials as it makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdl.kernel.expression import Load, Reduce
from graphdl.kernel.program import Store

from ..llvm import Value
from .combination import Combination, lane_combination
from .emitter import Emitter
from .fetch import fetch_rows_ahead
from .loops import VectorLoop, store_all
from .rows import Accumulated


def accumulate(emitter: Emitter, loop: VectorLoop, store: Store, accumulated: Sequence[Accumulated], rows: Sequence[Load]) -> dict[int, Value]:
    """Run `loop` over a store and over the bodies of reductions. Returns the reductions' values by their expressions' numbers.

    `rows` are the loads that are to be fetched ahead for later tasks.
    """
    whole = _Part(emitter, store, accumulated, loop.lanes, loop.single, rows)
    rest = _Part(emitter, store, accumulated, loop.rest_lanes, loop.single)
    parts = [part for part in (whole.folded(loop.whole(whole.body, whole.start())), rest.folded(loop.rest(rest.body, rest.start()))) if part]
    return {x.reduction.number: _joined(emitter, x.reduction, values) for x, *values in zip(accumulated, *parts, strict=True)}


def _joined(emitter: Emitter, x: Reduce, values: Sequence[Value]) -> Value:
    """What the whole vectors gave with what the rest gave."""
    first, *others = values
    return Combination(x.kind, x.body.dtype).join(emitter.f, [first], others)[0] if others else first


class _Part:
    """The loop over whole vectors, or the one over the rest: how each reduction is held in it."""

    def __init__(self, emitter: Emitter, store: Store, accumulated: Sequence[Accumulated], lanes: int, single: int, rows: Sequence[Load] = ()) -> None:
        self.emitter, self.store, self.accumulated, self.lanes, self.rows = emitter, store, accumulated, lanes, rows
        masked = emitter.target.has_masks and lanes > 1
        self.combinations = [lane_combination(x.reduction.kind, x.body.dtype, lanes // single, has_masks=masked) for x in accumulated]

    def start(self) -> list[Value]:
        return [value for combination in self.combinations for value in combination.start(self.emitter.f, self.lanes)]

    def body(self, held: list[Value]) -> list[Value]:
        """Store the next values and take them into the reductions."""
        emitter = self.emitter
        for row in self.rows:
            fetch_rows_ahead(emitter, row)
        store_all(emitter, [self.store])
        mask = emitter.lanes.mask if emitter.lanes is not None else None
        following: list[Value] = []
        for x, combination, parts in zip(self.accumulated, self.combinations, self._split(held), strict=True):
            element = [emitter.spread(emitter.value(x.body))]
            following += combination.follow(emitter.f, parts, element) if mask is None else combination.follow_some(emitter.f, parts, element, mask)
        return following

    def folded(self, held: list[Value]) -> list[Value]:
        """Each reduction's value after the loop; nothing if there was no loop."""
        if not held:
            return []
        return [combination.fold(self.emitter.f, parts)[0] for combination, parts in zip(self.combinations, self._split(held), strict=True)]

    def _split(self, held: list[Value]) -> Iterator[list[Value]]:
        """What belongs to each reduction."""
        begin = 0
        for combination in self.combinations:
            width = len(combination.start(self.emitter.f, 0))
            yield held[begin : begin + width]
            begin += width
