"""Matrix products in the form that the contraction engine runs best: few of them, two-dimensional, nothing copied around them."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.einsum import Einsum
from graphdl.ops.matmul import Matmul
from graphdl.ops.reduction import Sum
from graphdl.ops.reindexing import aligned
from graphdl.ops.shape import BroadcastTo, Transpose, broadcast_to, reshape, transpose
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import map_nodes
from graphdl.sizes import product


@record
class Contraction(Pass):
    """Products without transposed results and without copies of one matrix for a whole stack.

    transpose(x @ y) -> transpose(y) @ transpose(x)                      packing transposes operands for nothing
    transpose(x[b, h, m, k] @ y[b, h, k, n], (0, 2, 1, 3)) -> einsum("bhmk,bhkn->bmhn")   rows are written where they are wanted
    x[b, m, k] @ broadcast_to(w[k, n]) -> reshape(x, (b*m, k)) @ w        one tall product
    sum_b transpose(x[b, k, m]) @ y[b, k, n] -> transpose(x[b*k, m]) @ y[b*k, n]
    x[m, 1] @ y[1, n] -> broadcast_to(x) * broadcast_to(y)               elementwise, so it fuses
    """

    name: ClassVar[str] = "contraction"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 35

    def run(self, graph: Graph) -> Graph:
        shared = {tensor.node for tensor in graph.outputs} | {node for node, readers in graph.users.items() if len(readers) > 1}

        def contracted(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
            if not isinstance(node.op, Matmul | Transpose | Sum):
                return None
            with derived(self.name, parents=[node]):
                found = _simplified(node, operands, graph.users[node]) if isinstance(node.op, Matmul) else None
                if not isinstance(node.op, Matmul) and isinstance(operands[0].node.op, Matmul) and node.operands[0].node not in shared:
                    found = _absorbed(node, *operands[0].node.operands)
                return None if found is None else (found,)

        return map_nodes(graph, contracted, self.name)


def _absorbed(node: Node, x: Tensor, y: Tensor) -> Tensor | None:
    """The node's op on x @ y, which nothing else reads, as another product."""
    swap = _last_two_swapped(x.ndim)
    if isinstance(node.op, Transpose):
        return Matmul()(_swapped(y), _swapped(x)) if node.op.axes == swap else None
    # A sum of a stack of products, as weights used for the whole stack receive it: one long product.
    if node.op.axes != tuple(range(x.ndim - 2)) or not isinstance(x.node.op, Transpose) or x.node.op.axes != swap:
        return None
    rows = product(y.shape[:-1])
    return Matmul()(transpose(reshape(x.node.operands[0], (rows, x.shape[-2]))), reshape(y, (rows, y.shape[-1])))


def _simplified(node: Node, operands: tuple[Tensor, ...], users: Sequence[Node]) -> Tensor | None:
    found = _product_of_one(node, *operands)
    found = _flat(node, *operands) if found is None else found
    return _moved(operands, users) if found is None else found


def _moved(operands: tuple[Tensor, ...], users: Sequence[Node]) -> Tensor | None:
    """The product with its rows in the order in which a reader wants them; other readers undo that as they read."""
    rank = operands[0].ndim
    orders = {user.op.axes for user in users if isinstance(user.op, Transpose) and user.op.axes[-1] == rank - 1}
    if len(orders) != 1:
        return None
    (order,) = orders
    *lead, m, k, n = list(ascii_lowercase[: rank + 1])
    inputs, plain = ("".join((*lead, m, k)), "".join((*lead, k, n))), (*lead, m, n)
    moved = Einsum(inputs, "".join(plain[axis] for axis in order))(*operands)
    return transpose(moved, tuple(order.index(axis) for axis in range(rank)))


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
