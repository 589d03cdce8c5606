"""Ops that stand for several others, written out as those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.op import Op
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import map_nodes


@record
class Expand(Pass):
    """Every op that says so by `Op.expand` gives way: attention(q, k, v) -> softmax(q @ transpose(k) * scale) @ v."""

    name: ClassVar[str] = "expand"
    phase: ClassVar[str] = "specialise"
    rank: ClassVar[int] = 90

    def run(self, graph: Graph) -> Graph:
        return map_nodes(graph, expanded, self.name)


def expanded(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """What the op is in terms of others."""
    if type(node.op).expand is Op.expand:
        return None
    with derived("expand", parents=[node]):
        found = node.op.expand(*operands)
    return None if found is None else (found,)
