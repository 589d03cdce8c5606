"""`explain`: the derivation of a gradient as a person would write it down.

The gradient graph says everything: which tensor is the cotangent of which, by what rule, from what node and line. Values
are written out where they are short and named where they are long, where another line uses them, or where they are used
twice; layers that are alike and steps of loops are told once. Only provenance and the ops' own formulas are asked; no op is named here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..collection import paused_collection
from ..errors import GraphdlError
from ..formula import ZERO, Formula, Listed, Name
from ..ir import Node, Tensor
from ..ir.graph import topological_order
from .derivation import Derivation, Step
from .repetition import tell_once
from .writing import Writing


class Model(Protocol):
    """What knows its outputs: a graph, or a loaded model."""

    @property
    def outputs(self) -> Sequence[Tensor]: ...


class Called(Protocol):
    """A module, which knows what its last call gave."""

    @property
    def _outputs(self) -> Sequence[Tensor]: ...


@paused_collection()
def explain(of: Tensor | Iterable[Tensor] | Model | Called) -> Derivation:
    """The derivation of a derivative from the output back, step by step; for other tensors and models, their forward formulas.

    Every step has its `formula`, the `rule`, the `forward` node, the user's `source` line and the `tensor` it is about;
    `str` gives Unicode text of 100 columns, `.latex` LaTeX, and notebooks draw MathML. Several tensors are explained together.

    Raises GraphdlError where there is nothing to explain.
    """
    goals = _goals(of)
    order = topological_order(goals)
    forward = _forward(order)
    derived = [tensor for tensor in goals if tensor.node not in forward]
    if not derived:
        return _explain_forward(goals, order)
    end, _ = _derivative_of(derived[0])
    inside = [] if end is None else [end]
    inside += [tensor for tensor in goals if tensor.node in forward and not _is_zero(tensor)]
    needed = topological_order([*inside, *(x for node in order if node not in forward for x in node.operands if x.node in forward)])
    writing = Writing(order, needed)
    known = [step for node in needed for step in writing.write_forward(node, is_end=any(node is x.node for x in inside))]
    wanted = set(derived)
    steps = [step for node in order if node not in forward for step in writing.write_derived(node, wanted, end)]
    title = [_title(tensor, writing) for tensor in dict.fromkeys(derived)]
    remarks = [] if end is not None or all(_derivative_of(x)[1] is None for x in derived) else [_WEIGHTED]
    remarks += [_NO_PATH for tensor in goals if tensor.node in forward and _is_zero(tensor)][:1]
    whole = writing.put_in(steps[-1]) if len(goals) == 1 and steps and steps[-1].tensor is derived[0] and steps[-1].loop is None else None
    told, names = tell_once(writing.constants_first(known), steps)
    return Derivation(goals[0], names(_joined(title)), told[0], told[1], " ".join(remarks), whole and names(whole))


_SHOWN = 6  # of many derivatives, in the title
_WEIGHTED = "L stands for the outputs, weighted with the cotangents that were given."
_NO_PATH = "A constant zero. If it was asked for as a gradient, there is no path from the tensor to the output."


def _goals(of: Tensor | Iterable[Tensor] | Model | Called) -> tuple[Tensor, ...]:
    # A module tells what it made under a name of its own, as it may have an attribute `outputs`.
    made = getattr(of, "_outputs", None)
    made = getattr(of, "outputs", of) if made is None else made
    found = (made,) if isinstance(made, Tensor) else tuple(made) if isinstance(made, Iterable) else ()
    if not found or not all(isinstance(tensor, Tensor) for tensor in found):
        raise GraphdlError(f"explain: {type(of).__name__} has no outputs: give tensors or a graph, or call the module on placeholders first")
    return found


def _explain_forward(goals: Sequence[Tensor], order: Sequence[Node]) -> Derivation:
    writing = Writing(order, order)
    ends = {tensor.node for tensor in goals}
    steps = [step for node in order for step in writing.write_forward(node, is_end=node in ends and bool(node.operands))]
    title = [writing.formulas[tensor] for tensor in goals]
    remark = "Nothing leads to it: it is an input, state or a constant." if not any(tensor.node.operands for tensor in goals) else ""
    if ZERO in title:
        remark = _NO_PATH
    (told,), names = tell_once(writing.constants_first(steps))
    return Derivation(goals[0], names(_joined(title)), (), told, remark)


def _joined(titles: Sequence[Formula]) -> Formula:
    shown = titles if len(titles) <= _SHOWN else [*titles[: _SHOWN - 1], Name("…"), titles[-1]]
    return shown[0] if len(shown) == 1 else Listed(tuple(shown))


def _title(tensor: Tensor, writing: Writing) -> Formula:
    end, by = _derivative_of(tensor)
    return Name("derivative") if by is None else writing.derivative(end, by)


def _is_zero(tensor: Tensor) -> bool:
    return not tensor.node.operands and tensor.node.op.formula(tensor.node) == ZERO


def _forward(order: Sequence[Node]) -> set[Node]:
    """What the derivative was made from: the nodes that derived ones come from, and all that those read.

    Equal nodes are one, so a node may be told origins by later derivations; only those that are older than it count.
    """
    origins = dict.fromkeys(origin for node in order if node.provenance.declared.is_derived for origin in _origins(node))
    return {*topological_order(origin.outputs[0] for origin in origins), *(node for node in order if not node.provenance.declared.is_derived)}


def _origins(node: Node) -> Iterable[Node]:
    return [origin for origin in node.provenance.declared.origins if origin.number < node.number]


def _derivative_of(tensor: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Of which output `tensor` is the derivative, and by which tensor: one with a label if there is one."""
    found = [(end, by) for index, end, by in tensor.node.provenance.declared.cotangents if index == tensor.index]
    found.sort(key=lambda pair: (pair[1].name is None, -pair[1].node.number))
    return found[0] if found else (None, None)


__all__ = ["Derivation", "Step", "explain"]
