"""What the explorer's page holds: every graph between declaration and kernels, each node once, and what became of it."""

from __future__ import annotations

import itertools
import linecache
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..calculus import explain
from ..compiler import Executable
from ..errors import GraphdlError
from ..formula import Name
from ..ir import Graph, Node
from ..ir.printer import names_of, print_value
from ..pipeline import Compilation
from ..rewrite import Following, following
from .costs import compilation_of
from .machine import Machine, machine_of

CROWD = 240  # nodes of one group from which it is divided
FEW = 8  # nodes of one line that need no folding
STATE = "inputs and state"
LONGEST = 400  # characters of attributes
COMPILED = 20_000  # nodes up to which a graph is compiled for the page
EXPLAINED = 10_000  # nodes up to which the derivation is told


NODE = (
    "name", "label", "kind", "type", "attributes", "told", "formula", "sources", "modules", "rules", "passes", "origins", "operands", "kernels", "parts",
)  # fmt: skip
KERNEL = ("name", "function", "facts", "computes", "sources")
KINDS = ("forward", "derived", "state")


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with the names of all fields written out, for other programs."""
    texts, places = data["texts"], [source["place"] for source in data["sources"]]
    nodes = [dict(zip(NODE, row, strict=True)) for row in data["nodes"]]
    for node in nodes:
        node |= {key: texts[node[key]] for key in ("type", "attributes")}
        node |= {key: [texts[k] for k in node[key]] for key in ("modules", "rules", "passes")}
        node |= {"sources": [places[k] for k in node["sources"]], "kind": KINDS[node["kind"]]}
    kernels = [dict(zip(KERNEL, row, strict=True)) for row in data["kernels"]]
    for kernel in kernels:
        kernel["sources"] = [places[k] for k in kernel["sources"]]
    views = [{key: view[key] for key in ("name", "nodes", "outputs")} for view in data["views"]]
    return {"remark": data["remark"], "views": views, "nodes": nodes, "kernels": kernels, "total": data["total"]}


def contents_of(of: Graph | Executable, profile: Any = None, code: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """The page's data, and beside it the text of all kernel functions. Kernels are missing where the graph cannot be compiled."""
    source = of.source if isinstance(of, Executable) else of
    if isinstance(of, Graph) and len(of.nodes) > COMPILED:
        remark = f"a graph of more than {COMPILED} nodes is shown as declared; give the compiled program for passes and kernels"
        return Contents(of).data(None, None, remark), {}
    try:
        compilation, trace = _compiled(of)
        machine = machine_of(compilation, profile, code)
    except GraphdlError as error:
        return Contents(source).data(None, None, str(error)), {}
    views = {"declared": compilation.source, **compilation.record.graphs}
    return Contents(compilation.source, views).data(machine, trace, ""), machine.functions


def _compiled(of: Graph | Executable) -> tuple[Compilation, Following]:
    """The passes run once more, while we look at what becomes of nodes."""
    with following() as trace:
        compilation = compilation_of(of).again()
        _ = compilation.compiled
    return compilation, trace


@dataclass
class Contents:
    """Tables under construction; nodes, lines and groups are told by their numbers in them."""

    source: Graph
    views: Mapping[str, Graph] = field(default_factory=dict)
    numbers: dict[Node, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    sources: dict[Any, int] = field(default_factory=dict)
    groups: dict[tuple[int, str], int] = field(default_factory=dict)

    def data(self, machine: Machine | None, trace: Following | None, remark: str) -> dict[str, Any]:
        views = self.views or {"declared": self.source}
        for graph in views.values():
            self._number(graph.nodes)
        names = {**{node: f"{number}" for node, number in self.numbers.items()}, **names_of(self.source)}
        told = self._told()
        grouped = {name: self._grouped(graph) for name, graph in views.items()}
        kernels = machine.kernels if machine else []
        homes: dict[Node, list[int]] = {}
        for k, kernel in enumerate(kernels):
            for node in kernel.nodes:
                homes.setdefault(node, []).append(k)
        computed = self._computed(homes, trace)
        return {
            "remark": remark,
            "views": [self._view(name, views[name], found) for name, found in grouped.items()],
            "groups": [[name, parent] for parent, name in self.groups],
            "nodes": [self._node(node, names, told, computed[node]) for node in self.numbers],
            "kernels": [kernel.data(self._members(kernel.nodes, trace), self._sources(kernel.sources)) for kernel in kernels],
            "total": machine.total if machine else {},
            "sources": [{"place": f"{Path(one.file).name}:{one.line}", "text": linecache.getline(one.file, one.line).strip()} for one in self.sources],
            "texts": list(self.texts),
        }  # fmt: skip

    def _view(self, name: str, graph: Graph, groups: list[int]) -> dict[str, Any]:
        return {"name": name, "groups": groups, "nodes": [self.numbers[x] for x in graph.nodes], "outputs": self._outputs(graph)}

    def _number(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            for one in (*_parts(node), node):
                self.numbers.setdefault(one, len(self.numbers))

    def _outputs(self, graph: Graph) -> list[int]:
        return list(dict.fromkeys(self.numbers[tensor.node] for tensor in graph.outputs))

    def _text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def _sources(self, sources: Iterable[Any]) -> list[int]:
        return [self.sources.setdefault(one, len(self.sources)) for one in sorted(sources)]

    def _told(self) -> dict[Node, str]:
        """What the derivation says of nodes."""
        if len(self.source.nodes) > EXPLAINED:
            return {}
        found = explain(self.source)
        return {step.tensor.node: f"{step.formula}" + (f"   ({step.loop.range})" if step.loop else "") for step in (*found.forward, *found.steps)}

    # -- nodes --------------------------------------------------------------------------------------------------

    def _node(self, node: Node, names: Mapping[Node, str], told: Mapping[Node, str], kernels: list[int]) -> list[Any]:
        """One node as a list, in the order that the page's script names."""
        known, op = node.provenance, node.op
        is_state = op.is_input or op.is_parameter or hasattr(op, "state")
        origins = sorted(self.numbers[x] for x in known.origins if x in self.numbers and x is not node and x.number < node.number)
        return [
            names[node],
            str(getattr(op, "label", None) or op.name),
            2 if is_state else 1 if known.is_derived else 0,
            self._text(", ".join(str(tensor.type) for tensor in node.outputs)),
            self._text(_attributes(node)),
            told.get(node, ""),
            _formula(node, names),
            self._sources(known.sources),
            [self._text(module) for module in sorted(known.modules)],
            [self._text(rule) for rule in sorted(known.rules)],
            [self._text(name) for name in sorted(known.passes)],
            origins,
            list(dict.fromkeys(self.numbers[operand.node] for operand in node.operands if operand.node in self.numbers)),
            kernels,
            [self.numbers[one] for one in _parts(node)],
        ]

    def _computed(self, homes: Mapping[Node, list[int]], trace: Following | None) -> dict[Node, list[int]]:
        """The kernels of every node: those it ended in, or, if it is only read in passing, those of its readers."""
        found: dict[Node, list[int]] = {}
        users: dict[Node, list[Node]] = {}
        for node in self.numbers:
            for operand in node.operands:
                users.setdefault(operand.node, []).append(node)
        for node in sorted(self.numbers, key=lambda one: -one.number):
            ends = trace.ends(node, homes) if trace else []
            own = {k for end in ends for k in homes[end]}
            if not own and node.op.pattern != "opaque":
                own = {k for user in users.get(node, ()) for k in found.get(user, ())}
            found[node] = sorted(own)
        return found

    def _members(self, nodes: Iterable[Node], trace: Following | None) -> list[int]:
        """What a kernel computes, in the numbers of nodes: fused nodes as their parts."""
        return list(dict.fromkeys(self.numbers[one] for node in nodes for one in (_parts(node) or [node]) if one in self.numbers))

    # -- groups -------------------------------------------------------------------------------------------------

    def _grouped(self, graph: Graph) -> list[int]:
        """The group of every node: its module, else its line where many come from there; -1 for none. Crowds are divided."""
        paths = [_path(node) for node in graph.nodes]
        lines: Counter[tuple[str, ...]] = Counter(path for path in paths if len(path) == 1)
        kept = [() if lines.get(path, FEW) < FEW and is_line else path for path, is_line in zip(paths, map(_is_line, paths), strict=True)]
        sides = [(path, node.provenance.is_derived) for path, node in zip(kept, graph.nodes, strict=True)]
        crowds = {key: count for key, count in Counter(sides).items() if count > CROWD}
        seen: Counter[Any] = Counter()
        found = []
        for key in sides:
            path, is_derived = key
            if key in crowds:
                size = max(CROWD // 2, math.isqrt(crowds[key]))
                first = seen[key] // size * size
                path = (*path, f"{first + 1} to {min(first + size, crowds[key])}")
                seen[key] += 1
            found.append(self._group(path, is_derived))
        return found

    def _group(self, path: Sequence[str], is_derived: bool) -> int:
        parent = -1
        for k, part in enumerate(path):
            name = part if k else f"{'∂ ' if is_derived else ''}{part}"
            parent = self.groups.setdefault((parent, name), len(self.groups))
        return parent


def _path(node: Node) -> tuple[str, ...]:
    """Where a node is folded away: the module that all of its modules lie in, else its line."""
    known = node.provenance
    if known.modules:
        first, last = min(known.modules).split("."), max(known.modules).split(".")
        shared = tuple(a for a, b in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
        if shared:
            return shared
    return (str(known.source),) if known.source and node.operands else (STATE,)


def _is_line(path: Sequence[str]) -> bool:
    """Whether a node is folded away by its line, or as an input or state, and not by a module."""
    return len(path) == 1 and (":" in path[0] or path[0] == STATE)


def _parts(node: Node) -> list[Node]:
    body = getattr(node.op, "body", None)
    return [one for one in body.nodes if not one.op.is_input] if isinstance(body, Graph) and node.op.pattern == "fusion" else []


def _attributes(node: Node) -> str:
    """The attributes; graphs in them by their size."""
    values = {name: f"graph of {len(value.nodes)} nodes" if isinstance(value, Graph) else print_value(value) for name, value in node.op.attributes.items()}
    text = ", ".join(f"{name}={value}" for name, value in values.items())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _formula(node: Node, names: Mapping[Node, str]) -> str:
    operands = [Name(operand.name or f"%{names.get(operand.node, '?')}") for operand in node.operands]
    return str(node.op.formula(node, *operands)) if operands else ""
