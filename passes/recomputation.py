"""Which kernels to run again: those that free the most bytes, for the longest while, for the least time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from graphdl.ir import Node, Tensor
from graphdl.lowering.occupancy import Bytes, Occupancy

# Of one core of the machine that the benchmarks run on, measured by `graphdl doctor`. Only their ratio matters, and that is alike on
# others; constants give the same program everywhere.
FLOPS_PER_SECOND = 60e9
BYTES_PER_SECOND = 8e9
LAUNCH = 2e-6  # seconds
LONGEST = 48  # kernels that are run again for one
SMALL = 8  # what is so many times smaller is held on rather than computed again


@dataclass(frozen=True)
class Again:
    """At `position`, `nodes` are computed again, the last of them for the `tensors` that are read from there on."""

    position: int
    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True)
class Gap:
    """A tensor that is not touched between two positions."""

    tensor: Tensor
    size: int
    begin: int
    end: int


@dataclass(frozen=True)
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

    def run(self) -> list[Again]:
        found: list[Again] = []
        while self.excess.any():
            offers = [(self._worth(offer), offer) for gap in self._gaps() if (offer := self._offer(gap)) is not None]
            worth, best = max(offers, key=lambda one: one[0], default=(0.0, None))
            if best is None or worth <= 0:
                break
            self._take(best)
            found.append(Again(best.end, best.nodes, tuple(gap.tensor for gap in best.gaps)))
        return sorted(found, key=lambda one: (one.position, self.state.position[one.nodes[-1]]))

    def _gaps(self) -> Iterator[Gap]:
        """The gaps of tensors in which too much is live."""
        for tensor, touched in self.touched.items():
            size = self.state.held[tensor].size
            for begin, end in itertools.pairwise(touched):
                if end - begin > 1 and end < len(self.state.order) and self.excess[begin + 1 : end].any() and not self._is_absent(tensor, end - 1):
                    yield Gap(tensor, size, begin, end)

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
