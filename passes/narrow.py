"""Numbers of 32 bits that are 8-bit integers in memory: best widened where they are read, for a product takes both bytes and zero point as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.kernel.reading import reading_of
from graphdl.ops.select import Cast
from graphdl.ops.shape import BroadcastTo, broadcast_to, reshape
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import rewrite

NARROW = ("int8", "uint8")


@record
class WidenLate(Pass):
    """Bytes are moved as bytes, and widened after that.

    reshape(cast(x)) -> cast(reshape(x))
    transpose(cast(x) - broadcast_to(zero)) -> cast(transpose(x)) - broadcast_to(zero)      for a zero point that is one number
    """

    name: ClassVar[str] = "narrow"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 75

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, _widened_late, self.name)


def _widened_late(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """A movement of widened bytes as a movement of bytes, or None."""
    if len(operands) != 1 or node.op.pattern != "injective" or isinstance(node.op, BroadcastTo) or not is_narrow(operands[0].node):
        return None
    if not reading_of(node).is_free:
        return None
    with derived("narrow", parents=[node]):
        found = _moved(node, operands[0].node)
    return None if found is None else (found,)


def _moved(node: Node, widened: Node) -> Tensor | None:
    if _is_widened(widened):
        (narrow,) = widened.operands
        return Cast("int32")(node.op(narrow))
    minuend, zero = (operand.node for operand in widened.operands)
    (point,) = zero.operands
    if point.size != 1:
        return None
    moved = Cast("int32")(node.op(minuend.operands[0]))
    result: Tensor = widened.op(moved, broadcast_to(reshape(point, ()), moved.shape))
    return result


def is_narrow(node: Node) -> bool:
    """Whether a node is 8-bit integers as int32, less a zero point if there is one."""
    if len(node.outputs) != 1 or node.output.dtype != "int32":
        return False
    if node.op.name == "subtract":
        minuend, zero = (operand.node for operand in node.operands)
        return _is_widened(minuend) and isinstance(zero.op, BroadcastTo)
    return _is_widened(node)


def _is_widened(node: Node) -> bool:
    return node.op.converts and node.operands[0].dtype in NARROW
