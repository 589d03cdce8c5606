"""Passes inside bodies: what rewrites a graph rewrites the graphs that its ops hold, innermost first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from ..ir import Graph, Node, Tensor, make_node
from .rebuild import map_nodes


def everywhere(run: Callable[[Graph], Graph], graph: Graph, rule: str) -> Graph:
    """`run` on the graph and before that on the bodies in it, which are the fields that ops name as their `regions`."""

    def inside(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
        bodies = {name: getattr(node.op, name) for name in node.op.regions}
        changed = {name: new for name, body in bodies.items() if (new := everywhere(run, body, rule)) is not body}
        return make_node(dataclasses.replace(node.op, **changed), operands).outputs if changed else None

    if any(node.op.regions for node in graph.nodes):
        graph = map_nodes(graph, inside, rule)
    return run(graph)
