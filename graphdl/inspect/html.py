"""The explorer: a graph as one self-contained page, with no network and no server."""

from __future__ import annotations

import json
import linecache
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from ..compiler import Executable
from ..errors import GraphdlError
from ..formula import Name
from ..ir import Graph, Node
from ..ir.printer import names_of, print_attributes
from ..kernel.counting import bytes_moved, flops_of
from ..lowering import lower_graph
from .costs import compilation_of

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body>
<header><h1>{title}</h1><span id="count"></span><input id="search" type="search" placeholder="search ( / )" aria-label="search">
<button id="fold">fold modules</button><button id="unfold">unfold</button><button id="theme">dark / light</button></header>
<svg role="img" aria-label="the graph"><defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="6" markerHeight="6" orient="auto">
<path d="M0,0L8,4L0,8z" fill="currentColor" opacity=".4"/></marker></defs><g id="drawing"></g></svg>
<aside><h2>Choose a node</h2><p>Forward nodes are blue, derivatives orange, inputs and state green. Wheel zooms, / searches, f fits,
arrows walk to operands and users.</p></aside>
<script type="application/json" id="graph">{data}</script>
<script>{layout}</script>
<script>{script}</script>
</body>
</html>
"""


def write_page(of: Graph | Executable, path: str | Path, title: str = "graphdl") -> None:
    """Write the page to `path`. Raises OSError where that cannot be written."""
    Path(path).write_text(page(of, title), encoding="utf-8")


def page(of: Graph | Executable, title: str = "graphdl") -> str:
    """The page as text."""
    graph = of.source if isinstance(of, Executable) else of
    data = json.dumps(describe(graph, kernels_of(of)), ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    parts = {"title": escape(title), "style": _asset("page.css"), "layout": _asset("dagre.min.js"), "script": _asset("page.js"), "data": data}
    found = PAGE
    for name, text in parts.items():
        found = found.replace(f"{{{name}}}", text)
    return found


def _asset(name: str) -> str:
    return (resources.files("graphdl.inspect") / "assets" / name).read_text(encoding="utf-8")


def kernels_of(of: Graph | Executable) -> Mapping[str, list[Node]]:
    """What each kernel costs, in words, with the nodes it computes; nothing where the graph cannot be compiled."""
    try:
        steps = lower_graph(compilation_of(of).compiled).steps
    except GraphdlError:
        return {}
    return {f"{k} {step.name}\n{flops_of(step)} flops, {bytes_moved(step)} bytes": list(step.origins) for k, step in enumerate(steps)}


def describe(graph: Graph, kernels: Mapping[str, list[Node]]) -> dict[str, Any]:
    """The graph as plain data: every node with all that is known of it."""
    names = names_of(graph)
    homes: dict[Node, list[int]] = {}
    for k, members in enumerate(kernels.values()):
        for node in members:
            homes.setdefault(node, []).append(k)
    nodes = [_describe(node, names, homes.get(node, [])) for node in graph.nodes]
    return {"nodes": nodes, "kernels": list(kernels), "outputs": [names[tensor.node] for tensor in graph.outputs]}


def _describe(node: Node, names: Mapping[Node, str], kernels: list[int]) -> dict[str, Any]:
    known, op = node.provenance, node.op
    modules = sorted(known.modules)
    is_state = op.is_input or op.is_parameter or hasattr(op, "state")
    return {
        "id": names[node],
        "label": str(getattr(op, "label", None) or op.name),
        "kind": "state" if is_state else "derived" if known.is_derived else "forward",
        "derived": known.is_derived,
        "type": ", ".join(str(tensor.type) for tensor in node.outputs),
        "attributes": print_attributes(op.attributes),
        "formula": _formula(node, names),
        "sources": [{"place": f"{Path(s.file).name}:{s.line}", "text": linecache.getline(s.file, s.line).strip()} for s in sorted(known.sources)],
        "module": modules[0] if len(modules) == 1 else "",
        "modules": modules,
        "rules": sorted(known.rules),
        "origins": sorted(names[origin] for origin in known.origins if origin in names and origin is not node),
        "operands": list(dict.fromkeys(names[operand.node] for operand in node.operands)),
        "kernels": kernels,
    }


def _formula(node: Node, names: Mapping[Node, str]) -> str:
    operands = [Name(operand.name or f"%{names[operand.node]}") for operand in node.operands]
    return str(node.op.formula(node, *operands)) if operands else ""
