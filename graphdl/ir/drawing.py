"""Graphs as pictures for notebooks: SVG in layers, operands above readers, gradients beside what they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from .graph import Graph
from .node import Node, Tensor
from .printer import names_of, print_attributes

MOST = 200  # nodes of a picture
LONGEST = 24  # characters of a line in a box
_WIDTH, _HEIGHT, _GAP, _SPACE = 150, 36, 26, 18
_FORWARD, _DERIVED, _STATE = "#dbe9f6", "#fde3c8", "#e3f1dc"


def to_svg(graph: Graph) -> str:
    """The graph as SVG: forward nodes blue, derived ones orange, inputs and state green. All names are escaped.

    Of a graph of more than 200 nodes only the number is told: `to_html` shows those.
    """
    if len(graph.nodes) > MOST:
        words = f"a graph of {len(graph.nodes)} nodes: see to_html(path)"
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="420" height="30"><text x="4" y="20" font-family="sans-serif">{words}</text></svg>'
    places = _places(graph)
    width = max((x for x, _ in places.values()), default=0) + _WIDTH + 10
    height = max((y for _, y in places.values()), default=0) + _HEIGHT + 10
    body = "".join((*_edges(graph, places), *_boxes(graph, places)))
    style = 'font-family="sans-serif" font-size="11" text-anchor="middle"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" {style}>{body}</svg>'


def _places(graph: Graph) -> dict[Node, tuple[int, int]]:
    """The upper left corner of every node: its layer is the longest path to it."""
    layer: dict[Node, int] = {}
    row: dict[int, int] = {}
    found: dict[Node, tuple[int, int]] = {}
    for node in graph.nodes:
        layer[node] = max((layer[operand.node] + 1 for operand in node.operands), default=0)
        column = row.get(layer[node], 0)
        row[layer[node]] = column + 1
        found[node] = (5 + column * (_WIDTH + _SPACE), 5 + layer[node] * (_HEIGHT + _GAP))
    return found


def _edges(graph: Graph, places: Mapping[Node, tuple[int, int]]) -> Iterator[str]:
    for node in graph.nodes:
        for operand in dict.fromkeys(operand.node for operand in node.operands):
            (x1, y1), (x2, y2) = places[operand], places[node]
            yield f'<line x1="{x1 + _WIDTH // 2}" y1="{y1 + _HEIGHT}" x2="{x2 + _WIDTH // 2}" y2="{y2}" stroke="#98a2ae"/>'


def _boxes(graph: Graph, places: Mapping[Node, tuple[int, int]]) -> Iterator[str]:
    names = names_of(graph)
    for node, (x, y) in places.items():
        op = node.op
        is_state = op.is_input or op.is_parameter or hasattr(op, "state")
        colour = _STATE if is_state else _DERIVED if node.provenance.is_derived else _FORWARD
        lines = str(getattr(op, "label", None) or op.name), ", ".join(str(tensor.type) for tensor in node.outputs)
        title = f"%{names[node]} {op.name} {print_attributes(op.attributes)} {node.provenance.source or ''}"
        box = f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="4" fill="{colour}" stroke="#98a2ae"/>'
        words = "".join(f'<text x="{x + _WIDTH // 2}" y="{y + 15 + 14 * k}" fill="#1b1f24">{escape(_short(line))}</text>' for k, line in enumerate(lines))
        yield f"<g><title>{escape(title[:200])}</title>{box}{words}</g>"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def tensor_html(tensor: Tensor) -> str:
    """What a tensor is, for a notebook: name, type, how it is computed, and the line that declared it."""
    node = tensor.node
    known = node.provenance
    rows = {"type": str(tensor.type), "computed by": node.op.name, "line": str(known.source or "")}
    rows |= {"module": ", ".join(sorted(known.modules)), "rule": ", ".join(sorted(known.rules))}
    cells = "".join(f'<tr><th style="text-align:left">{key}</th><td style="text-align:left">{escape(value)}</td></tr>' for key, value in rows.items() if value)
    return f"<table><caption>{escape(tensor.name or 'tensor')}</caption>{cells}</table>"
