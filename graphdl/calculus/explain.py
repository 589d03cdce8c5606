"""`explain`: the derivation of a gradient as a person would write it down.

The gradient graph says everything: which tensor is the cotangent of which, by what rule, from what node and line. Values
are written out where they are short and named where they are long, where another line uses them, or where they are used
twice. Only provenance and the ops' own formulas are asked; no op is named here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..formula import ZERO, Name
from ..ir import Node, Tensor
from ..ir.graph import topological_order
from .derivation import Derivation, Step
from .writing import Writing


def explain(tensor: Tensor) -> Derivation:
    """The derivation of a derivative from the output back, step by step; for other tensors, their forward formulas.

    Every step has its `formula`, the `rule`, the `forward` node, the user's `source` line and the `tensor` it is about;
    `str` gives Unicode text of 100 columns, `.latex` LaTeX, and notebooks draw MathML.
    """
    order = topological_order([tensor])
    forward = _forward(order)
    if tensor.node in forward:
        return _explain_forward(tensor, order)
    end, by = _derivative_of(tensor)
    needed = topological_order([*(() if end is None else (end,)), *(x for node in order if node not in forward for x in node.operands if x.node in forward)])
    writing = Writing(order, needed)
    known = [step for node in needed for step in writing.write_forward(node, is_end=end is not None and node is end.node)]
    steps = [step for node in order if node not in forward for step in writing.write_derived(node, tensor, end)]
    title = writing.derivative(end, by) if by is not None else Name("derivative")
    remark = "L stands for the outputs, weighted with the cotangents that were given." if by is not None and end is None else ""
    return Derivation(tensor, title, tuple(known), tuple(steps), remark)


def _explain_forward(tensor: Tensor, order: Sequence[Node]) -> Derivation:
    writing = Writing(order, order)
    steps = [step for node in order for step in writing.write_forward(node, is_end=node is tensor.node and bool(node.operands))]
    title = writing.formulas[tensor]
    remark = "Nothing leads to it: it is an input, state or a constant." if not tensor.node.operands else ""
    if title == ZERO:
        remark = "A constant zero. If it was asked for as a gradient, there is no path from the tensor to the output."
    return Derivation(tensor, title, (), tuple(steps), remark)


def _forward(order: Sequence[Node]) -> set[Node]:
    """What the derivative was made from: the nodes that derived ones come from, and all that those read.

    Equal nodes are one, so a node may be told origins by later derivations; only those that are older than it count.
    """
    origins = dict.fromkeys(origin for node in order if node.provenance.is_derived for origin in _origins(node))
    return {*topological_order(origin.outputs[0] for origin in origins), *(node for node in order if not node.provenance.is_derived)}


def _origins(node: Node) -> Iterable[Node]:
    return [origin for origin in node.provenance.origins if origin.number < node.number]


def _derivative_of(tensor: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Of which output `tensor` is the derivative, and by which tensor: one with a label if there is one."""
    found = [(end, by) for index, end, by in tensor.node.provenance.cotangents if index == tensor.index]
    found.sort(key=lambda pair: (pair[1].name is None, -pair[1].node.number))
    return found[0] if found else (None, None)


__all__ = ["Derivation", "Step", "explain"]
