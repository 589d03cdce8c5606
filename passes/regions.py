"""Bodies and what they are for: loops that compute the same are made one, and what nobody reads is neither computed nor carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from graphdl.control.region import Region, Trimmed
from graphdl.control.scan import Scan
from graphdl.ir import Graph, Node, Tensor, derived, make_node
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import map_nodes


@record
class Regions(Pass):
    """Scans of one body over the same operands give all their results in one loop; unused results and operands are dropped.

    scan(x) {f -> y}, scan(x) {f -> y, z}  ->  scan(x) {f -> y, z}
    """

    name: ClassVar[str] = "regions"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 5

    def run(self, graph: Graph) -> Graph:
        if not any(isinstance(node.op, Region) for node in graph.nodes):
            return graph
        return _trimmed(map_nodes(graph, _Merging(graph).merged, self.name), self.name)


class _Merging:
    """Scans with the same operands whose bodies share inputs and carries, and thus all they have in common."""

    def __init__(self, graph: Graph) -> None:
        self.groups: dict[tuple[object, ...], list[Scan]] = {}
        for node in graph.nodes:
            if isinstance(node.op, Scan):
                self.groups.setdefault(_key(node.op, node.operands), []).append(node.op)
        self.keys = {node: _key(node.op, node.operands) for node in graph.nodes if isinstance(node.op, Scan)}

    def merged(self, node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
        """The node's results, from one scan for its whole group."""
        group = self.groups.get(self.keys[node], []) if node in self.keys else []
        if len(group) < 2:
            return None
        first = group[0]
        stacked = list(dict.fromkeys(tensor for op in group for tensor in op.stacked))
        body = Graph([*first.body.outputs[: first.carries], *stacked], first.body.inputs)
        results = make_node(replace(first, body=body), operands).outputs
        place = {tensor: results[first.carries + k] for k, tensor in enumerate(stacked)}
        return [*results[: first.carries], *(place[tensor] for tensor in node.op.stacked)]


def _key(op: Scan, operands: Sequence[Tensor]) -> tuple[object, ...]:
    fixed = (*op.body.inputs, *op.body.outputs[: op.carries], *operands)
    return (op.carries, op.sequences, op.length, op.reverse, *map(id, fixed))


def _trimmed(graph: Graph, rule: str) -> Graph:
    """Without results that nothing reads, and operands that are then not needed; from the outputs back."""
    read = set(graph.outputs)
    slim: dict[Node, Trimmed] = {}
    for node in reversed(graph.nodes):
        if isinstance(node.op, Region):
            slim[node] = node.op.trim({k for k, tensor in enumerate(node.outputs) if tensor in read})
            read.update(node.operands[k] for k in slim[node].operands)
        elif any(tensor in read for tensor in node.outputs):
            read.update(node.operands)

    def trimmed(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
        if node not in slim or slim[node].op is node.op:
            return None
        with derived(rule, parents=[node]):
            results = make_node(slim[node].op, [operands[k] for k in slim[node].operands]).outputs
        kept = dict(zip(slim[node].results, results, strict=True))
        return [kept.get(k, tensor) for k, tensor in enumerate(node.outputs)]

    return map_nodes(graph, trimmed, rule)
