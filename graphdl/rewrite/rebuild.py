"""Graphs built again with other operands. Nodes that do not change stay the same object; nothing loses its origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..collection import paused_collection
from ..errors import CompileError
from ..ir import Graph, Node, Tensor, derived, make_node
from ..ir.graph import topological_order
from ..record import record
from .following import follow

# What stands in for the results of a node, given its operands as they are by now; None if the node stays.
Rewriting = Callable[[Node, tuple[Tensor, ...]], Sequence[Tensor] | None]


def replace(graph: Graph, substitution: Mapping[Tensor, Tensor]) -> Graph:
    """The graph with every use of a key of `substitution` reading its value instead, all at once.

    The values are taken as they are: what they are computed from is not substituted in turn.
    Raises CompileError for a value of another type than its key's.
    """
    for old, new in substitution.items():
        if old.type != new.type:
            raise CompileError(f"{new!r} cannot stand in for {old!r}: their types differ")

    def substituted(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
        if not any(tensor in substitution for tensor in node.outputs):
            return None
        kept = remake(node, operands).outputs
        return [substitution.get(old, own) for old, own in zip(node.outputs, kept, strict=True)]

    return map_nodes(graph, substituted, "replace")


def map_nodes(graph: Graph, fn: Rewriting, rule: str = "map") -> Graph:
    """The graph with each node replaced by `fn(node, operands)`, operands first; where that is None, the node stays.

    Results of another type than the node's are not taken. New nodes are derived by `rule`.
    """
    values: dict[Tensor, Tensor] = {}
    with derived(rule), paused_collection():
        for node in graph.nodes:
            operands = current_operands(node, values)
            found = fn(node, operands)
            if found is not None and fits(node, found):
                enter(node, found, values)
            elif operands is not node.operands:
                values.update(zip(node.outputs, remake(node, operands).outputs, strict=True))
    return with_outputs(graph, values)


@record
class Replacement:
    """Tensors of a graph that `build` computes anew, all at once, from what stands for the tensors `needed`."""

    old: tuple[Tensor, ...]
    needed: tuple[Tensor, ...]
    build: Callable[[Sequence[Tensor]], Sequence[Tensor]]


def replace_groups(graph: Graph, replacements: Sequence[Replacement], rule: str) -> Graph:
    """The graph with all `replacements` made, each derived by `rule` from the nodes that it replaces, which have one result each."""
    at = {tensor.node: one for one in replacements for tensor in one.old}
    values: dict[Tensor, Tensor] = {}
    with paused_collection():
        for node in topological_order(graph.outputs, lambda node: at[node].needed if node in at else node.operands):
            if node not in at:
                with derived(rule):
                    operands = current_operands(node, values)
                    values.update(zip(node.outputs, remake(node, operands).outputs, strict=True) if operands is not node.operands else ())
            elif node.output not in values:
                one = at[node]
                with derived(rule, parents=[tensor.node for tensor in one.old]):
                    found = one.build([values.get(tensor, tensor) for tensor in one.needed])
                for old, new in zip(one.old, found, strict=True):
                    enter(old.node, [new], values)
    return with_outputs(graph, values)


def current_operands(node: Node, values: Mapping[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """What the node's operands are by now: the same tuple if they stayed."""
    for operand in node.operands:
        if operand in values:
            return tuple([values.get(one, one) for one in node.operands])
    return node.operands


def remake(node: Node, operands: tuple[Tensor, ...]) -> Node:
    """The node's op on `operands`, with the node's provenance."""
    if same(operands, node.operands):
        return node
    alike = all(new.type == old.type for new, old in zip(operands, node.operands, strict=True))
    made = make_node(node.op, operands, like=node if alike else None)
    made.provenance.merge(node.provenance)
    return made


def inherit(new: Tensor, old: Tensor) -> None:
    """Let `new` know all that the node of `old` does, as it stands in for it. Inputs, parameters and fills remain what they are."""
    if new.node is old.node or not new.node.operands:
        return
    known, lost = new.node.provenance, old.node.provenance
    known.keep()
    known.inherit(lost)
    if lost.cotangents:
        known.cotangents |= {(new.index, end, by) for index, end, by in lost.cotangents if index == old.index}
    known.is_derived = known.is_derived and lost.is_derived


def enter(node: Node, found: Sequence[Tensor], values: dict[Tensor, Tensor]) -> None:
    """Enter what stands in for the results of `node`."""
    for old, new in zip(node.outputs, found, strict=True):
        if new is not old:
            inherit(new, old)
            values[old] = new


def fits(node: Node, found: Sequence[Tensor]) -> bool:
    """Whether `found` may stand in for the results of `node`. Sizes of other names, which only a call can tell equal, do not fit."""
    return len(found) == len(node.outputs) and all(new.type == old.type for new, old in zip(found, node.outputs, strict=True))


def same(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    """Whether both hold the same tensors; `==` on tensors would declare a comparison."""
    return len(left) == len(right) and all(map(_is, left, right))


def _is(left: Tensor, right: Tensor) -> bool:
    return left is right


def with_outputs(graph: Graph, values: Mapping[Tensor, Tensor]) -> Graph:
    """The graph of what stands in for the outputs; the graph itself if they all stay."""
    for old, new in values.items():
        follow((old.node,), new.node)
    outputs = tuple(values.get(tensor, tensor) for tensor in graph.outputs)
    return graph if same(outputs, graph.outputs) else Graph(outputs, graph.inputs)
