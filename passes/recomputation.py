"""Which kernels to run again: those that free the most bytes, for the longest while, for the least time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from graphdl.ir import Node, Tensor
from graphdl.lowering.occupancy import Bytes, Occupancy
from graphdl.record import record

# Of one core of the machine that the benchmarks run on, measured as `graphdl doctor` does: float32 operations, and bytes copied. Little
# more than their ratio matters; constants give the same program everywhere.
FLOPS_PER_SECOND = 260e9
BYTES_PER_SECOND = 51e9
LAUNCH = 2e-6  # seconds, assumed
LONGEST = 48  # kernels that are run again for one
SMALL = 8  # what is so many times smaller is held on rather than computed again


@record
class Again:
    """At `position`, `nodes` are computed again, the last of them for the `tensors` that are read from there on."""

    position: int
    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]


@record
class Gap:
    """A tensor that is not touched between two positions."""

    tensor: Tensor
    size: int
    begin: int
    end: int


@record
class _Offer:
    """What computing again at the end of gaps frees and takes: nodes to run, operands to hold on, seconds."""

    gaps: tuple[Gap, ...]  # of the results of one node
    nodes: tuple[Node, ...]
    needed: tuple[Tensor, ...]
    seconds: float

    @property
    def end(self) -> int:
        """The position at which the nodes run."""
        return self.gaps[0].end


def choose(state: Occupancy, goal: int) -> list[Again]:
    """What to compute again so that no more than `goal` bytes are live at a time, as far as that can be told beforehand."""
    return _Choice(state, goal).run()


class _Choice:
    """One round. `live` holds the bytes at every position, `excess` those above the goal; `absent` the gaps in which tensors are not there."""

    def __init__(self, state: Occupancy, goal: int) -> None:
        self.state = state
        self.goal = goal
        self.live: Bytes = state.live.copy()
        self.excess: Bytes = np.maximum(self.live - goal, 0)
        self.touched = {tensor: list(held.touched) for tensor, held in state.held.items()}
        self.absent: dict[Tensor, list[Gap]] = {}
        self.heap: list[tuple[float, int, Gap]] = []
        self.numbers = itertools.count()

    def run(self) -> list[Again]:
        """The best offers one after the other. What an offer is worth hardly ever grows by taking others, so it is looked at again only when it
        comes first (lazy greedy: Minoux 1978)."""
        found: list[Again] = []
        self._add(gap for tensor in self.touched for gap in self._gaps(tensor, 0, len(self.state.order)))
        while self.heap and self.excess.any():
            _, _, gap = heapq.heappop(self.heap)
            if self._is_absent(gap.tensor, gap.end - 1):
                continue
            if any(gap.begin < at < gap.end for at in self.touched[gap.tensor]):
                self._add(self._gaps(gap.tensor, gap.begin, gap.end))
                continue
            offer = self._offer(gap)
            worth = 0.0 if offer is None else self._worth(offer)
            if offer is None or worth <= 0:
                continue
            if self.heap and worth < -self.heap[0][0]:
                heapq.heappush(self.heap, (-worth, next(self.numbers), gap))
                continue
            self._take(offer)
            found.append(Again(offer.end, offer.nodes, tuple(gap.tensor for gap in offer.gaps)))
        return sorted(found, key=lambda one: (one.position, self.state.position[one.nodes[-1]]))

    def _add(self, gaps: Iterable[Gap]) -> None:
        for gap in gaps:
            offer = self._offer(gap)
            if offer is not None and (worth := self._worth(offer)) > 0:
                heapq.heappush(self.heap, (-worth, next(self.numbers), gap))

    def _gaps(self, tensor: Tensor, begin: int, end: int) -> Iterator[Gap]:
        """The gaps of a tensor between two positions, in which too much is live."""
        touched = [at for at in self.touched[tensor] if begin <= at <= end and at < len(self.state.order)]
        for before, after in itertools.pairwise(touched):
            if after - before > 1 and self.excess[before + 1 : after].any():
                yield Gap(tensor, self.state.held[tensor].size, before, after)

    def _offer(self, gap: Gap) -> _Offer | None:
        """How the tensor is computed again at the end of its gap; None if it cannot be."""
        nodes: dict[Node, None] = {}
        needed: dict[Tensor, None] = {}
        if not self._gather(gap.tensor, gap, nodes, needed):
            return None
        return _Offer((gap, *self._beside(gap)), tuple(nodes), tuple(needed), sum(map(self._seconds, nodes)))

    def _beside(self, gap: Gap) -> Iterator[Gap]:
        """The other results of the node that are not touched before the end of the gap for a while: they are computed along with it."""
        for tensor in gap.tensor.node.outputs:
            if tensor is gap.tensor or tensor not in self.touched or self._is_absent(tensor, gap.end):
                continue
            begin = max((at for at in self.touched[tensor] if at < gap.end), default=None)
            if begin is not None and begin < gap.end - 1 and self.touched[tensor][-1] >= gap.end:
                yield Gap(tensor, self.state.held[tensor].size, begin, gap.end)

    def _gather(self, tensor: Tensor, gap: Gap, nodes: dict[Node, None], needed: dict[Tensor, None]) -> bool:
        """Collect the nodes that compute `tensor` at the end of the gap, operands first, and what they read of the arena."""
        node = tensor.node
        if node in nodes:
            return True
        if node not in self.state.work or not node.operands or len(nodes) >= LONGEST:
            return False
        for operand in map(_memory_of, node.operands):
            if self._is_there(operand, gap):
                needed[operand] = None
            elif not self._gather(operand, gap, nodes, needed):
                return False
        nodes[node] = None
        return True

    def _is_there(self, tensor: Tensor, gap: Gap) -> bool:
        """Whether a tensor may be read at the end of the gap: it is there anyway, or small enough to be held until then."""
        held = self.state.held.get(tensor)
        if held is None:
            return True  # an input, a parameter, a result
        if self._is_absent(tensor, gap.end):
            return False
        return self.touched[tensor][-1] >= gap.end or held.size * SMALL <= gap.size

    def _is_absent(self, tensor: Tensor, position: int) -> bool:
        return any(gap.begin < position < gap.end for gap in self.absent.get(tensor, ()))

    def _worth(self, offer: _Offer) -> float:
        """Bytes above the goal that are freed, times positions, for a second of computing."""
        freed = sum(int(np.minimum(self.excess[gap.begin + 1 : gap.end], gap.size).sum()) for gap in offer.gaps)
        worse = self._excess_at(offer.end, self._passing(offer)) - self._excess_at(offer.end, 0)
        return (freed - worse - sum(self._longer(tensor, offer.end) for tensor in offer.needed)) / offer.seconds

    def _excess_at(self, position: int, more: int) -> int:
        return max(int(self.live[position]) + more - self.goal, 0)

    def _passing(self, offer: _Offer) -> int:
        """The bytes of what is computed only on the way: all of it is there where the last of it runs."""
        return sum(self.state.held[tensor].size for node in offer.nodes[:-1] for tensor in node.outputs if tensor in self.state.held)

    def _longer(self, tensor: Tensor, end: int) -> int:
        """The bytes, times positions, that holding a tensor until `end` takes."""
        if tensor not in self.state.held:
            return 0
        begin = self.touched[tensor][-1] + 1
        return self.state.held[tensor].size * int(np.count_nonzero(self.excess[begin:end])) if begin < end else 0

    def _take(self, offer: _Offer) -> None:
        for gap in offer.gaps:
            self.absent.setdefault(gap.tensor, []).append(gap)
            self.live[gap.begin + 1 : gap.end] -= gap.size
        self.live[offer.end] += self._passing(offer)
        for tensor in (*offer.needed, *(gap.tensor for gap in offer.gaps)):
            if tensor in self.touched and offer.end not in self.touched[tensor]:
                self.live[self.touched[tensor][-1] + 1 : offer.end + 1] += self.state.held[tensor].size
                self.touched[tensor] = sorted([*self.touched[tensor], offer.end])
        self.excess = np.maximum(self.live - self.goal, 0)

    def _seconds(self, node: Node) -> float:
        flops, moved = self.state.work[node]
        return max(flops / FLOPS_PER_SECOND, moved / BYTES_PER_SECOND) + LAUNCH


def _memory_of(tensor: Tensor) -> Tensor:
    """The tensor whose memory a view shows."""
    while tensor.node.op.is_view:
        tensor = tensor.node.operands[0]
    return tensor
