"""Checkpoints: memory saved by computing values again in the backward pass (Griewank, Walther 2000; Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..ir import Node, Tensor, as_tensor, make_node
from ..ir.graph import topological_order
from ..op import function
from ..ops.custom_gradient import CustomGradient, Recompute
from ..types import is_floating
from .vjp import vjp


@function
def checkpoint(fn: Callable[..., Tensor], *operands: Any) -> Tensor:
    """fn(*operands), whose inner values the backward pass computes again from the operands instead of keeping them.

    `fn` returns one tensor; it may use other tensors, such as parameters, and their gradients are the usual ones.
    """
    tensors = [as_tensor(operand) for operand in operands]
    output = fn(*tensors)
    inner = _between(dict.fromkeys(tensors), output)
    if output.node not in inner:
        return output
    held = dict.fromkeys(operand for node in inner for operand in node.operands if operand.node not in inner)
    boundary = [tensor for tensor in held if is_floating(tensor.dtype)]

    def rule(cotangent: Tensor) -> Sequence[Tensor]:
        again = {tensor: Recompute()(tensor, cotangent) for tensor in boundary}
        return vjp([_rebuilt(inner, output, again)], list(again.values()), [cotangent])

    return CustomGradient(rule)(output, *boundary)


def _between(inputs: dict[Tensor, None], output: Tensor) -> dict[Node, None]:
    """The nodes that depend on the inputs, operands first."""
    found: dict[Node, None] = {}
    for node in topological_order([output]):
        depends = any(operand in inputs or operand.node in found for operand in node.operands)
        if depends and not any(tensor in inputs for tensor in node.outputs):
            found[node] = None
    return found


def _rebuilt(nodes: Iterable[Node], output: Tensor, values: dict[Tensor, Tensor]) -> Tensor:
    """`output`, computed by copies of the nodes from other values."""
    known = dict(values)
    for node in nodes:
        copy = make_node(node.op, [known.get(operand, operand) for operand in node.operands])
        known.update(zip(node.outputs, copy.outputs, strict=True))
    return known[output]
