"""Common subexpressions. Equal nodes are one by construction; what remains are equal values that are written in two orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor
from graphdl.op import Op
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import map_nodes, remake


@record
class Common(Pass):
    """A commutative op on the same two operands is computed once: x * y + y * x -> x * y + x * y."""

    name: ClassVar[str] = "common"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 80

    def run(self, graph: Graph) -> Graph:
        seen: dict[tuple[Op, frozenset[Tensor]], Sequence[Tensor]] = {}

        def first(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
            if len(operands) != 2 or not getattr(node.op, "commutative", False):
                return None
            key = (node.op, frozenset(operands))
            if key not in seen:
                seen[key] = remake(node, operands).outputs
            return seen[key]

        return map_nodes(graph, first, self.name)
