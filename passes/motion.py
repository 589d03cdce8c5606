"""Data movement is moved behind elementwise work, where less is computed, kernels fuse and movements cancel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.reindexing import aligned
from graphdl.ops.shape import BroadcastTo, Reshape, Transpose, broadcast_to, reshape, reshaped_broadcast, transpose
from graphdl.ops.source import Full
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import rewrite
from graphdl.types import Shape


@record
class Motion(Pass):
    """Elementwise ops come first, then broadcast, reshape and transpose; values do not change by a bit.

    exp(broadcast_to(x, s)) -> broadcast_to(exp(x), s)                   fewer elements are computed
    relu(reshape(x @ w, s) + bias) -> reshape(relu(x @ w + bias), s)     relu joins the product's epilogue
    transpose(tanh(transpose(x))) -> tanh(x)                             after canonical forms
    """

    name: ClassVar[str] = "motion"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 40

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, moved, self.name)


def moved(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """The op before the movement of its operands, or None where they move differently or not at all."""
    if node.op.pattern != "pointwise" or not any(isinstance(x.node.op, BroadcastTo | Reshape | Transpose) for x in operands):
        return None
    shape = node.output.shape
    if any(x.shape != shape for x in operands):
        return None
    with derived("motion", parents=[node]):
        for sink in (_before_broadcast, _before_reshape, _before_transpose):
            found = sink(node, operands, shape)
            if found is not None:
                return (found,)
    return None


def _before_broadcast(node: Node, operands: tuple[Tensor, ...], shape: Shape) -> Tensor | None:
    """All operands repeat along some axes: compute one of the repeats."""
    sources = [x.node.operands[0] for x in operands if isinstance(x.node.op, BroadcastTo)]
    if not all(isinstance(x.node.op, BroadcastTo | Full) for x in operands):
        return None
    forms = [aligned(source.shape, len(shape)) or () for source in sources]
    if any(own not in (1, size) for form in forms for own, size in zip(form, shape, strict=True)):
        return None
    small = tuple(1 if all(form[k] == 1 for form in forms) else size for k, size in enumerate(shape))
    if small == shape:
        return None
    rank = max(source.ndim for source in sources)
    small = small[len(small) - rank :]
    return broadcast_to(_computed(node, operands, small, lambda x: broadcast_to(x.node.operands[0], small)), shape)


def _before_reshape(node: Node, operands: tuple[Tensor, ...], shape: Shape) -> Tensor | None:
    """All operands that are computed have the same other shape: compute under that."""
    source = next((x.node.operands[0].shape for x in operands if isinstance(x.node.op, Reshape)), None)
    if source is None:
        return None

    def under(x: Tensor) -> Tensor | None:
        below = x.node.operands[0] if x.node.operands else x
        if isinstance(x.node.op, Reshape):
            return below if below.shape == source else None
        return reshaped_broadcast(below, shape, source) if isinstance(x.node.op, BroadcastTo) else None

    result = _computed(node, operands, source, under)
    return None if result is None else reshape(result, shape)


def _before_transpose(node: Node, operands: tuple[Tensor, ...], shape: Shape) -> Tensor | None:
    """All operands that are computed have their axes in the same other order: compute in that."""
    op = next((x.node.op for x in operands if isinstance(x.node.op, Transpose)), None)
    if op is None:
        return None
    source = tuple(shape[k] for k in op.inverse)

    def before(x: Tensor) -> Tensor | None:
        below = x.node.operands[0] if x.node.operands else x
        if isinstance(x.node.op, Transpose):
            return below if x.node.op == op else None
        if not isinstance(x.node.op, BroadcastTo):
            return None
        return broadcast_to(transpose(reshape(below, aligned(below.shape, len(shape))), op.inverse), source)

    result = _computed(node, operands, source, before)
    return None if result is None else transpose(result, op.axes)


def _computed(node: Node, operands: tuple[Tensor, ...], shape: Shape, form: Callable[[Tensor], Tensor | None]) -> Tensor | None:
    """The node's op on the operands in another form, fills in that shape; None if an operand has no such form."""
    formed = [Full(x.node.op.value, x.dtype, shape)() if isinstance(x.node.op, Full) else form(x) for x in operands]
    known = [x for x in formed if x is not None]
    result: Tensor | None = node.op(*known) if len(known) == len(operands) else None
    return result
