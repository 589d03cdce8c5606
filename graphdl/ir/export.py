"""Graphs for other tools: networkx and Graphviz."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .graph import Graph
from .node import Node
from .printer import names_of, print_attributes

if TYPE_CHECKING:
    import networkx

_FORWARD, _DERIVED, _STATE = "#dbe9f6", "#fde3c8", "#e3f1dc"


def to_networkx(graph: Graph) -> networkx.MultiDiGraph[Any]:
    """A node per op, named as in the text, with `op`, `attributes`, `types`, `label`, `sources`, `modules`, `rules`,
    `passes` and `origins`; an edge per operand, with its `position` and the `result` of the operand's node that it reads."""
    import networkx

    made: networkx.MultiDiGraph[Any] = networkx.MultiDiGraph()
    names = names_of(graph)
    for node, name in names.items():
        made.add_node(name, **_describe(node, names))
    for node in graph.nodes:
        for position, operand in enumerate(node.operands):
            made.add_edge(names[operand.node], names[node], position=position, result=operand.index)
    return made


def _describe(node: Node, names: dict[Node, str]) -> dict[str, Any]:
    known = node.provenance
    types = tuple(str(tensor.type) for tensor in node.outputs)
    return {
        "op": node.op.name,
        "attributes": print_attributes(node.op.attributes),
        "type": types[0] if len(types) == 1 else ", ".join(types),
        "types": types,
        "label": getattr(node.op, "label", None),
        "sources": tuple(map(str, sorted(known.sources))),
        "modules": tuple(sorted(known.modules)),
        "rules": tuple(sorted(known.rules)),
        "passes": tuple(sorted(known.passes)),
        "origins": tuple(sorted(names[origin] for origin in known.origins if origin in names)),
    }


def to_dot(graph: Graph) -> str:
    """The graph in Graphviz' language: forward nodes blue, derived ones orange, state green; inputs are ellipses, parameters
    cylinders; a cluster per module."""
    names = names_of(graph)
    lines = ["digraph {", "  rankdir=TB", '  node [shape=box, style=filled, fontname="sans-serif"]']
    lines += [f"  {line}" for line in _clusters(names)]
    for node in graph.nodes:
        lines += [f"  {quote(names[x.node])} -> {quote(names[node])}{_edge(x.index, len(x.node.outputs))}" for x in node.operands]
    for k, tensor in enumerate(graph.outputs):
        lines += [
            f'  "output {k}" [shape=plaintext, style=""]',
            f'  {quote(names[tensor.node])} -> "output {k}"{_edge(tensor.index, len(tensor.node.outputs))}',
        ]
    return "\n".join([*lines, "}"])


def quote(text: str) -> str:
    """A Graphviz string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _edge(index: int, results: int) -> str:
    return f' [label="#{index}"]' if results > 1 else ""


def _clusters(names: dict[Node, str]) -> Iterator[str]:
    """The nodes, those of one module together; nodes of several modules or none stand outside."""
    by_module = sorted(names, key=_module)  # stable: within a module the order stays
    for k, (module, nodes) in enumerate(itertools.groupby(by_module, key=_module)):
        drawn = [f"{quote(names[node])} [{_style(node, names[node])}]" for node in nodes]
        if not module:
            yield from drawn
            continue
        yield from (f"subgraph cluster_{k} {{", f"  label={quote(module)}", *(f"  {line}" for line in drawn), "}")


def _module(node: Node) -> str:
    modules = node.provenance.modules
    return next(iter(modules)) if len(modules) == 1 else ""


def _style(node: Node, name: str) -> str:
    types = ", ".join(str(tensor.type) for tensor in node.outputs)
    shown = getattr(node.op, "label", None) or node.op.name
    text = quote(f"{shown}\n{types}")
    shape = "ellipse" if node.op.is_input else "cylinder" if node.op.is_parameter else "box"
    colour = _STATE if node.op.is_parameter or node.op.is_input else _DERIVED if node.provenance.rules else _FORWARD
    source = node.provenance.source
    tooltip = f"%{name}" + (f" {source}" if source else "")
    return f'label={text}, shape={shape}, fillcolor="{colour}", tooltip={quote(tooltip)}'
