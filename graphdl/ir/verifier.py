"""Checks every invariant of a graph again. The types are not described here a second time: the ops' own rules are rerun."""

from __future__ import annotations

from ..errors import GraphdlError, VerificationError
from .graph import Graph
from .node import Node, infer_types


def verify(graph: Graph) -> None:
    """Raises VerificationError naming the node and the user's line at the first invariant that does not hold.

    Operands stand before their users; results have the types that the ops infer; every input that is read is listed, under
    a label of its own; every node knows where it comes from. Graphs inside attributes are held to the same.
    """
    for part in graph.nested():
        _verify_inputs(part)
        _verify_nodes(part)
        _verify_outputs(part)


def _verify_inputs(graph: Graph) -> None:
    labels: dict[str, Node] = {}
    for tensor in graph.inputs:
        if not tensor.node.op.is_input:
            raise _broken(tensor.node, "it is listed as an input, but it is computed")
        if tensor.name in labels:
            raise _broken(tensor.node, f"two inputs have the label {tensor.name!r}; {_place(labels[tensor.name])} is the other")
        labels[tensor.name or ""] = tensor.node
    listed = set(labels.values())
    for node in graph.nodes:
        if node.op.is_input and node not in listed:
            raise _broken(node, "it is read but not among the graph's inputs")


def _verify_nodes(graph: Graph) -> None:
    defined: set[Node] = set()
    for node in graph.nodes:
        if node in defined:
            raise _broken(node, "it is listed twice")
        for k, operand in enumerate(node.operands):
            if operand.node not in defined:
                raise _broken(node, f"operand {k} is not defined before it")
            if operand is not operand.node.outputs[operand.index]:
                raise _broken(node, f"operand {k} is no result of its node")
        _verify_types(node)
        if not (node.provenance.sources or node.provenance.rules or node.provenance.passes):
            raise _broken(node, "it has neither a line of the user's nor a rule that made it")
        defined.add(node)


def _verify_types(node: Node) -> None:
    try:
        types, _ = infer_types(node.op, node.operands)
    except GraphdlError as error:
        raise _broken(node, f"its type rule refuses it: {error}") from error
    for k, (tensor, inferred) in enumerate(zip(node.outputs, types, strict=False)):
        if tensor.type != inferred:
            raise _broken(node, f"result {k} has type {tensor.type}, its type rule gives {inferred}")
    if len(types) != len(node.outputs):
        raise _broken(node, f"it has {len(node.outputs)} results, its type rule gives {len(types)}")


def _verify_outputs(graph: Graph) -> None:
    defined = set(graph.nodes)
    for k, tensor in enumerate(graph.outputs):
        if tensor.node not in defined:
            raise _broken(tensor.node, f"it is output {k}, but not among the graph's nodes")


def _broken(node: Node, message: str) -> VerificationError:
    return VerificationError(f"{_place(node)}: {message}")


def _place(node: Node) -> str:
    label = getattr(node.op, "label", None)
    source = node.provenance.source
    return f"{node.op.name}{f' {label!r}' if label else ''} : {', '.join(str(tensor.type) for tensor in node.outputs)}" + (f" ({source})" if source else "")
