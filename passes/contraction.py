"""Matrix products in the form that the contraction engine runs best: few of them, two-dimensional, nothing copied around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.matmul import Matmul
from graphdl.ops.reduction import Sum
from graphdl.ops.shape import BroadcastTo, Transpose, aligned, broadcast_to, reshape, transpose
from graphdl.pipeline import Pass
from graphdl.rewrite import map_nodes
from graphdl.sizes import product


@dataclass(frozen=True)
class Contraction(Pass):
    """Products without transposed results and without copies of one matrix for a whole stack.

    transpose(x @ y) -> transpose(y) @ transpose(x)                      packing transposes operands for nothing
    x[b, m, k] @ broadcast_to(w[k, n]) -> reshape(x, (b*m, k)) @ w        one tall product
    sum_b transpose(x[b, k, m]) @ y[b, k, n] -> transpose(x[b*k, m]) @ y[b*k, n]
    x[m, 1] @ y[1, n] -> broadcast_to(x) * broadcast_to(y)               elementwise, so it fuses
    """

    name: ClassVar[str] = "contraction"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 50

    def run(self, graph: Graph) -> Graph:
        results = {tensor.node for tensor in graph.outputs}

        def contracted(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
            rules = [_product_of_one, _flat] if isinstance(node.op, Matmul) else []
            if operands and isinstance(operands[0].node.op, Matmul) and node.operands[0].node not in results and graph.users[node.operands[0].node] == (node,):
                rules = [_transposed, _summed]
            with derived(self.name, parents=[node]):
                return next(((found,) for rule in rules if (found := rule(node, *operands)) is not None), None)

        return map_nodes(graph, contracted, self.name)


def _transposed(node: Node, x: Tensor) -> Tensor | None:
    """The transpose of a product that nothing else reads."""
    if not isinstance(node.op, Transpose) or node.op.axes != _last_two_swapped(x.ndim):
        return None
    left, right = x.node.operands
    return Matmul()(_swapped(right), _swapped(left))


def _summed(node: Node, x: Tensor) -> Tensor | None:
    """The sum of a stack of products transpose(a) @ b, as weights used for the whole stack receive it: one long product."""
    left, right = x.node.operands
    if not isinstance(node.op, Sum) or node.op.axes != tuple(range(x.ndim - 2)) or not isinstance(left.node.op, Transpose):
        return None
    if left.node.op.axes != _last_two_swapped(x.ndim):
        return None
    rows = product(right.shape[:-1])
    return Matmul()(transpose(reshape(left.node.operands[0], (rows, left.shape[-2]))), reshape(right, (rows, right.shape[-1])))


def _product_of_one(node: Node, x: Tensor, y: Tensor) -> Tensor | None:
    """A sum of one product."""
    if x.shape[-1] != 1 or y.shape[-2] != 1:
        return None
    shape = node.output.shape
    result: Tensor = broadcast_to(x, shape) * broadcast_to(y, shape)
    return result


def _flat(node: Node, x: Tensor, y: Tensor) -> Tensor | None:
    """A stack against one matrix, or a stack of one."""
    matrix = _matrix(y)
    if x.ndim == 2 or matrix is None:
        return None
    rows = reshape(x, (product(x.shape[:-1]), x.shape[-1]))
    return reshape(Matmul()(rows, matrix), node.output.shape)


def _matrix(y: Tensor) -> Tensor | None:
    """The one matrix that the whole stack repeats."""
    below = y.node.operands[0] if isinstance(y.node.op, BroadcastTo) else y
    form = aligned(below.shape, y.ndim) or ()
    return reshape(below, y.shape[-2:]) if form[-2:] == y.shape[-2:] and all(size == 1 for size in form[:-2]) else None


def _swapped(x: Tensor) -> Tensor:
    """x with its last two axes exchanged; a transpose that was there before is undone."""
    axes = _last_two_swapped(x.ndim)
    below = x.node.op.axes if isinstance(x.node.op, Transpose) else None
    return transpose(x, axes) if below is None else transpose(x.node.operands[0], tuple(below[k] for k in axes))


def _last_two_swapped(rank: int) -> tuple[int, ...]:
    return (*range(rank - 2), rank - 1, rank - 2)
