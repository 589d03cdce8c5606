"""Reductions of what is repeated, moved or reduced already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.extremum import Extremum
from graphdl.ops.reduction import Prod, Reduction, Sum
from graphdl.ops.reindexing import aligned, matched_axes
from graphdl.ops.shape import BroadcastTo, Reshape, Transpose, broadcast_to, reshape, transpose
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import map_nodes
from graphdl.sizes import product


@record
class Reductions(Pass):
    """Reductions over as few elements as there are.

    sum(broadcast_to(x, (n, k)), 0) -> x * n           max(broadcast_to(x, (n, k)), 0) -> x
    sum(reshape(x, (b, t, h)), (0, 1)) -> sum(x, 0)    sum(transpose(x), 0) -> sum(x, 1)
    sum(sum(x, 0), 0) -> sum(x, (0, 1))
    """

    name: ClassVar[str] = "reductions"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 60

    def run(self, graph: Graph) -> Graph:
        shared = {tensor.node for tensor in graph.outputs} | {node for node, readers in graph.users.items() if len(readers) > 1}

        def reduced(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
            if not isinstance(node.op, Sum | Extremum | Prod):
                return None
            (x,) = operands
            with derived(self.name, parents=[node]):
                found = _nested(node.op, x) if node.operands[0].node not in shared else None
                for rule in (_of_broadcast, _of_reshape, _of_transpose):
                    found = rule(node.op, x) if found is None else found
                return None if found is None else (found,)

        return map_nodes(graph, reduced, self.name)


def _kept(op: Any, rank: int) -> tuple[int, ...]:
    return tuple(k for k in range(rank) if k not in op.axes)


def _nested(op: Reduction, x: Tensor) -> Tensor | None:
    """Twice the same reduction; sums in another order, so their rounding may differ."""
    if type(x.node.op) is not type(op):
        return None
    (below,) = x.node.operands
    left = _kept(x.node.op, below.ndim)
    axes = tuple(sorted((*x.node.op.axes, *(left[k] for k in op.axes))))
    result: Tensor = type(op)(axes)(below)  # type: ignore[call-arg]
    return result


def _of_broadcast(op: Reduction, x: Tensor) -> Tensor | None:
    """A reduction over repeats of one element: the element, times their number in a sum (rounded once instead of often)."""
    if not isinstance(x.node.op, BroadcastTo) or isinstance(op, Prod):
        return None
    (below,) = x.node.operands
    form = aligned(below.shape, x.ndim) or ()
    repeats = [k for k in op.axes if form[k] == 1 and x.shape[k] != 1]
    count = product(x.shape[k] for k in repeats)
    if not repeats or not isinstance(count, int) or count == 0 or any(own not in (1, size) for own, size in zip(form, x.shape, strict=True)):
        return None
    small = op(reshape(below, form))
    result: Tensor = broadcast_to(small * count if isinstance(op, Sum) else small, op.infer(x.type).shape)
    return result


def _of_reshape(op: Reduction, x: Tensor) -> Tensor | None:
    """A reduction over axes that the reshape took whole from others."""
    if not isinstance(x.node.op, Reshape):
        return None
    (below,) = x.node.operands
    groups = matched_axes(below.shape, x.shape)
    if groups is None or any(0 < sum(k in op.axes for k in target) < len(target) for _, target in groups):
        return None
    axes = tuple(k for source, target in groups for k in source if target and target[0] in op.axes)
    return reshape(type(op)(axes)(below), op.infer(x.type).shape)  # type: ignore[call-arg]


def _of_transpose(op: Reduction, x: Tensor) -> Tensor | None:
    """A reduction over the same axes where they were before."""
    if not isinstance(x.node.op, Transpose):
        return None
    order = x.node.op.axes
    axes = tuple(sorted(order[k] for k in op.axes))
    left = [k for k in range(x.ndim) if k not in axes]
    result = type(op)(axes)(x.node.operands[0])  # type: ignore[call-arg]
    return transpose(result, [left.index(order[k]) for k in _kept(op, x.ndim)])
