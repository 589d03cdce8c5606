"""One form for what can be written in several ways, so that later passes need to know one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.op import Op
from graphdl.ops.source import Constant, Full
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import rewrite


@record
class Canonicalise(Pass):
    """Each op's own simpler form, by `Op.canonical`, and constants on the right of commutative ops.

    reshape(reshape(x, a), b) -> reshape(x, b)    where(c, x, x) -> x    2 * x -> x * 2
    """

    name: ClassVar[str] = "canonicalise"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 10

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, canonical, self.name)


@record
class Settle(Canonicalise):
    """Canonical forms of what the other simplifying passes made: reshape(reshape(x, a), b) -> reshape(x, b)."""

    name: ClassVar[str] = "settle"
    rank: ClassVar[int] = 90


def canonical(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """A simpler form of the node's op on `operands`, or None."""
    op = node.op
    if type(op).canonical is not Op.canonical:
        with derived("canonicalise", parents=[node]):
            found = op.canonical(*operands)
        if found is not None:
            return (found,)
    if len(operands) == 2 and getattr(op, "commutative", False) and is_known(operands[0]) and not is_known(operands[1]):
        with derived("canonicalise", parents=[node]):
            return (op(operands[1], operands[0]),)
    return None


def is_known(tensor: Tensor) -> bool:
    """Whether the tensor is a constant or filled with one number or size."""
    return isinstance(tensor.node.op, Full | Constant)
