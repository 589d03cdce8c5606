"""Where the nodes of a graph come from, as plain data beside its text, and put back onto the nodes that were read from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import FormatError
from .graph import Graph
from .node import Node, Tensor
from .provenance import Source

_TEXTS = ("modules", "rules", "passes")
Row = dict[str, Any]


def write_lineage(graph: Graph) -> list[Row]:
    """What is known of each node of the graph and of those nested in it, in order; other nodes are told by their places in it."""
    nodes = list(_nodes(graph))
    places = {node: place for place, node in reversed(list(enumerate(nodes)))}
    return [_row(node, places) for node in nodes]


def restore_lineage(graph: Graph, rows: Any) -> None:
    """Tell the nodes of a graph, just read, what `write_lineage` has told of them. Raises FormatError where it does not fit."""
    nodes = list(_nodes(graph))
    if not isinstance(rows, list) or len(rows) != len(nodes):
        raise FormatError("its lineage is not that of its graph")
    try:
        for node, row in zip(nodes, rows, strict=True):
            _tell(node, row, nodes)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"its lineage is not that of its graph: {error}") from None


def _nodes(graph: Graph) -> Iterator[Node]:
    for part in graph.nested():
        yield from dict.fromkeys((*(tensor.node for tensor in part.inputs), *part.nodes))


def _row(node: Node, places: dict[Node, int]) -> Row:
    known = node.provenance
    row: Row = {name: sorted(getattr(known, name)) for name in _TEXTS}
    row["sources"] = [[source.file, source.line] for source in sorted(known.sources)]
    row["origins"] = sorted(places[origin] for origin in known.origins if origin in places)
    told = ((index, _place(output, places), _place(wrt, places)) for index, output, wrt in known.cotangents)
    row["cotangents"] = sorted(([*entry] for entry in told if entry[2] and (entry[1] or entry[1] is None)), key=str)
    row["derived"] = known.is_derived
    return {name: value for name, value in row.items() if value}


def _place(tensor: Tensor | None, places: dict[Node, int]) -> list[int] | bool | None:
    """A result of a node by place and index; False for one outside the graph."""
    if tensor is None:
        return None
    return [places[tensor.node], tensor.index] if tensor.node in places else False


def _tell(node: Node, row: Row, nodes: list[Node]) -> None:
    known = node.provenance
    for name in _TEXTS:
        setattr(known, name, getattr(known, name).union(map(str, row.get(name, ()))))
    known.sources |= {Source(str(file), int(line)) for file, line in row.get("sources", ())}
    known.origins |= {nodes[place] for place in row.get("origins", ())}
    known.cotangents |= {(int(index), _tensor(output, nodes), _wrt(wrt, nodes)) for index, output, wrt in row.get("cotangents", ())}
    known.is_derived = known.is_derived and row.get("derived", False) is True


def _tensor(place: list[int] | None, nodes: list[Node]) -> Tensor | None:
    return None if place is None else _wrt(place, nodes)


def _wrt(place: list[int], nodes: list[Node]) -> Tensor:
    node, index = place
    return nodes[node].outputs[index]
