"""Causal attention block by block: what lies above the diagonal is not computed, and the scores of a block stay in the caches.

attention(q, k, v)  ->  concatenate over blocks of attention(q[from:to], k[:to], v[:to])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.attention import Attention
from graphdl.ops.join import concatenate
from graphdl.ops.shape import slice_axis
from graphdl.pipeline import Pass
from graphdl.rewrite import map_nodes

BLOCK = 128  # queries of one block


@dataclass(frozen=True)
class CausalBlocks(Pass):
    """Causal attention in blocks of queries, unless the graph has a gradient that needs all of the weights."""

    name: ClassVar[str] = "attention"
    phase: ClassVar[str] = "specialise"
    rank: ClassVar[int] = 80

    def run(self, graph: Graph) -> Graph:
        nodes = set(graph.nodes)

        def in_blocks(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
            op = node.op
            if not isinstance(op, Attention) or not op.is_causal or op.masked or op.dropout or op.offset:
                return None
            length, keys = operands[0].shape[-2], operands[1].shape[-2]
            if not isinstance(length, int) or keys != length or length < 2 * BLOCK or op.weights(*node.operands).node in nodes:
                return None
            with derived("attention", parents=[node]):
                return (_joined(op, length, *operands),)

        return map_nodes(graph, in_blocks, self.name)


def _joined(op: Attention, length: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    axis = query.ndim - 2
    blocks = []
    for start in range(0, length, BLOCK):
        count = min(BLOCK, length - start)
        seen = [slice_axis(x, axis, 0, start + count) for x in (key, value)]
        blocks.append(replace(op, offset=start)(slice_axis(query, axis, start, count), *seen))
    return concatenate(blocks, axis)
