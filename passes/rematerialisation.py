"""Memory for time: what the backward pass reads is computed again where holding it would take more than the limit.

It works on kernels, after fusion: a kernel that runs twice is one function, so results are the same bits and no code is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import ClassVar

from graphdl.budget import Budget, format_bytes
from graphdl.errors import MemoryLimitError
from graphdl.ir import Graph, Node, Tensor, derived, make_node
from graphdl.lowering.occupancy import Occupancy
from graphdl.ops.deferred import Deferred
from graphdl.pipeline import Compilation, Pass
from graphdl.program import CompiledGraph
from graphdl.record import record
from graphdl.rewrite import follow, remake
from graphdl.rewrite.rebuild import with_outputs

from .recomputation import Again, choose

TIGHTER = (1.0, 0.85, 0.7, 0.5)  # shares of the goal to aim at: what is computed on the way takes memory too
ROUNDS = 4  # for each of them, each beginning where the one before ended
TOLD = 5  # tensors that the error names


@record
class Rematerialisation(Pass):
    """Kernels run again, shortly before their results are read late, until the plan fits into the limit.

    h = relu(x @ w); y = f(h); ... g(h)  ->  h = relu(x @ w); y = f(h); ... h2 = relu(deferred(x) @ w); g(h2)

    Like gradient checkpointing (Chen et al. 2016), but decided for each tensor by what it costs (Kirisame et al. 2021, Dynamic tensor
    rematerialization), here before anything runs. `deferred` keeps equal nodes apart.
    """

    name: ClassVar[str] = "rematerialisation"
    phase: ClassVar[str] = "plan"
    enters_bodies: ClassVar[bool] = False
    request: Compilation | None = field(default=None, repr=False)

    def fitted(self, request: Compilation) -> Pass | None:
        return None if request.budget is None else replace(self, request=request)

    def run(self, graph: Graph) -> Graph:
        if self.request is None or self.request.budget is None:
            return graph
        return _Search(self.request, self.request.budget).fitting(graph)


class _Search:
    """Rounds of planning and choosing."""

    def __init__(self, request: Compilation, budget: Budget) -> None:
        self.request, self.budget = request, budget
        self.sizes = dict(budget.sizes)

    def fitting(self, graph: Graph) -> Graph:
        """The graph, or one that computes more and needs no more than the limit. Raises MemoryLimitError."""
        first = best = self._planned(graph)
        if self._fits(first):
            return graph
        for share in TIGHTER:
            for state in self._rounds(first, share):
                if self._fits(state):
                    return state.graph
                best = min(best, state, key=self._bytes)
        raise self._beyond(best)

    def _rounds(self, state: Occupancy, share: float) -> Iterator[Occupancy]:
        """Plans that compute more and more again, as long as each needs less than the one before."""
        for _ in range(ROUNDS):
            again = choose(state, int(share * self._goal(state)))
            if not again:
                return
            before, state = state, self._planned(recomputed(state, again))
            yield state
            if self._bytes(state) >= self._bytes(before):
                return

    def _fits(self, state: Occupancy) -> bool:
        return self._bytes(state) <= self.budget.limit

    def _planned(self, graph: Graph) -> Occupancy:
        declared = self.request.declared
        whole = Graph(graph.outputs, self.request.signature.inputs)
        return Occupancy(CompiledGraph(whole, self.request.signature, declared.visible, declared.updated), self.sizes)

    def _bytes(self, state: Occupancy) -> int:
        return state.beside + state.arena + self.request.reserve

    def _goal(self, state: Occupancy) -> int:
        """The bytes that may be live at a time, if as much of the arena is lost between them as is now."""
        arena = self.budget.limit - state.beside - self.request.reserve
        return max(int(arena * min(state.live.max() / max(state.arena, 1), 1.0)), 0)

    def _beyond(self, best: Occupancy) -> MemoryLimitError:
        least = self._bytes(best)
        reached = f"the least that was reached is {format_bytes(least)}, of which {format_bytes(best.beside)} are inputs, results, parameters and constants"
        lines = [f"memory_limit: the program cannot be planned within {self.budget.told}; {reached}."]
        rest = [f"    {format_bytes(one.size)}: {one.tensor.type} of {one.tensor.node.told}" for one in best.largest(TOLD)]
        lines += ["  The largest of the rest:", *rest] if rest else []
        lines.append("  A smaller batch takes less; gd.checkpoint(fn, ...) has whole parts computed again, and inside loops too.")
        return MemoryLimitError("\n".join(lines), self.budget.limit, least)


def recomputed(state: Occupancy, again: Sequence[Again]) -> Graph:
    """The graph in which nodes are computed `again` at their positions, for all that reads them from there on."""
    with derived("rematerialisation"):
        return _Rebuilding(state, again).run()


class _Rebuilding:
    """The nodes in their order, with what stands for each tensor by now. At one position, `again` comes operands first."""

    def __init__(self, state: Occupancy, again: Sequence[Again]) -> None:
        self.graph, self.order = state.graph, state.order
        self.at: dict[int, list[Again]] = {}
        for one in again:
            self.at.setdefault(one.position, []).append(one)
        self.current: dict[Tensor, Tensor] = {}
        self.ends = set(state.graph.outputs)
        self.depth: dict[Node, int] = {}  # the length of the longest way from the inputs
        self.deepest: Tensor | None = None  # of what is computed by now and not given out: all that comes after it comes late

    def run(self) -> Graph:
        values: dict[Tensor, Tensor] = {}
        for position, node in enumerate(self.order):
            for one in self.at.get(position, ()):
                self._repeat(one)
            if node.op.is_view:
                continue
            made = remake(node, self._read(node.operands))
            changed = {old: new for old, new in zip(node.outputs, made.outputs, strict=True) if old is not new}
            self.current |= changed
            values |= changed
            self._note(node, made)
        ends = {tensor: self._now(tensor) for tensor in self.graph.outputs if tensor.node.op.is_view}
        return with_outputs(self.graph, values | {old: new for old, new in ends.items() if old is not new})

    def _note(self, node: Node, made: Node) -> None:
        """Remember the result that is computed behind all others."""
        depth = self._depth(made)
        if self.ends.isdisjoint(node.outputs) and (self.deepest is None or depth >= self._depth(self.deepest.node)):
            self.deepest = made.outputs[0]

    def _depth(self, node: Node) -> int:
        """The length of the longest way to a node; only views and copies of what was met may be new."""
        known = self.depth.get(node)
        if known is None:
            known = self.depth[node] = 1 + max((self._depth(operand.node) for operand in node.operands), default=0)
        return known

    def _read(self, operands: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(map(self._now, operands))

    def _now(self, tensor: Tensor) -> Tensor:
        """What stands for a tensor by now; views are taken anew of what they view."""
        node = tensor.node
        if tensor in self.current or not node.op.is_view:
            return self.current.get(tensor, tensor)
        return remake(node, self._read(node.operands)).outputs[tensor.index]

    def _repeat(self, one: Again) -> None:
        """Compute nodes again, from what is there."""
        after = self.deepest
        assert after is not None
        own: dict[Tensor, Tensor] = {}
        for node in one.nodes:
            own.update(zip(node.outputs, _copied(node, [self._of(own, tensor) for tensor in node.operands], after, own).outputs, strict=True))
        self.current |= {tensor: own[tensor] for tensor in one.tensors}

    def _of(self, own: Mapping[Tensor, Tensor], tensor: Tensor) -> Tensor:
        """The tensor, computed again just now or as it stands."""
        if tensor in own:
            return own[tensor]
        node = tensor.node
        if node.op.is_view and self.current.get(tensor) is None:
            return remake(node, (self._of(own, node.operands[0]), *self._read(node.operands[1:]))).outputs[tensor.index]
        return self._now(tensor)


def _copied(node: Node, operands: list[Tensor], after: Tensor, own: Mapping[Tensor, Tensor]) -> Node:
    """The node once more, on operands that are known `after` another tensor."""
    fresh = set(own.values())
    if not any(tensor in fresh for tensor in operands):
        place = next((k for k, tensor in enumerate(operands) if not tensor.node.op.is_parameter), 0)
        operands[place] = Deferred()(operands[place], after)
    with derived("rematerialisation", parents=[node]):
        made = make_node(node.op, operands, like=node)
    made.provenance.merge(node.provenance)
    follow((node,), made)
    return made
