"""The order of a program's steps: each gradient of a weight is used as soon as it is there, so that what it needs dies early.

A backward pass goes from layer to layer, and the gradient of each layer's weights is an end that hangs beside its way. Ends are visited
in the order of their distance from the inputs: then a weight's gradient, and its update, stand before the gradient of the layer below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..ir import Graph, Node, Tensor
from ..ir.graph import topological_order


def ordered(graph: Graph, updates: Mapping[Tensor, Tensor]) -> Sequence[Node]:
    """The graph's nodes, operands first. All that reads a parameter comes before its new value, which may then be written over it."""
    distance: dict[Node, int] = {}
    for node in graph.nodes:
        distance[node] = 1 + max((distance[operand.node] for operand in node.operands), default=0)
    readers: dict[Node, list[Tensor]] = {}
    for parameter, value in updates.items():
        last = [reader.outputs[0] for reader in _readers(graph, parameter.node) if reader is not value.node]
        readers.setdefault(value.node, []).extend(last if not graph.users[value.node] else ())

    def needed(node: Node) -> Sequence[Tensor]:
        return [*node.operands, *readers.get(node, ())]

    for node, last in readers.items():
        distance[node] = max([distance[node], *(1 + distance[tensor.node] for tensor in last)])
    ends = sorted(graph.outputs, key=lambda tensor: distance[tensor.node])
    return topological_order(ends, needed)


def _readers(graph: Graph, node: Node) -> Iterator[Node]:
    """The nodes that read a node's memory, also under other shapes."""
    stack = [node]
    while stack:
        held = stack.pop()
        readers = graph.users.get(held, ())
        yield from readers
        stack += [reader for reader in reversed(readers) if reader.op.is_view and reader.operands[0].node is held]
