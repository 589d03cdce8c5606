"""The textual form of graphs: deterministic, complete, and read back by `parser`.

    graph(%x: float32[N, 784]) {
      %weight = parameter() {label="weight", dtype="float32", shape=(512, 784)} : float32[512, 784]
      %0 = transpose(%weight) {axes=(1, 0)} : float32[784, 512]
      %1 = matmul(%x, %0) : float32[N, 512]
      return %1
    }

Placeholders and parameters go by their labels, other nodes by number. Result k of a node with several is `%5#k`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from functools import singledispatch
from typing import Any

import numpy as np

from ..sizes import Size
from .graph import Graph
from .node import Node, Tensor

_PLAIN = re.compile(r"[A-Za-z0-9_.]*[A-Za-z_.][A-Za-z0-9_.]*")
WORDS = frozenset(("True", "False", "None", "inf", "nan"))
_WORD_FIRST = re.compile(rf"-?(?=({'|'.join(sorted(WORDS))})\b)")
Names = Mapping[Node, str]


def print_graph(graph: Graph, provenance: bool = False) -> str:
    """The graph as text; with `provenance`, each node's lines, modules, rules and origins stand in a comment behind it."""
    names = names_of(graph)
    inputs = ", ".join(f"%{names[tensor.node]}{_title(names, tensor)}: {tensor.type}" for tensor in graph.inputs)
    given = {tensor.node for tensor in graph.inputs}
    lines = [_line(node, names) + (_comment(node, names) if provenance else "") for node in graph.nodes if node not in given]
    outputs = ", ".join(_use(tensor, names) for tensor in graph.outputs)
    return "\n".join([f"graph({inputs}) {{", *(f"  {line}" for line in lines), f"  return {outputs}".rstrip(), "}"])


def names_of(graph: Graph) -> dict[Node, str]:
    """A name for every node: its label if it has one, made unique, else a number in order."""
    names: dict[Node, str] = {}
    taken: dict[str, int] = {}  # with the number of the last one of that label
    count = itertools.count()
    for node in dict.fromkeys((*(tensor.node for tensor in graph.inputs), *graph.nodes)):
        label = getattr(node.op, "label", None)
        names[node] = str(next(count)) if label is None else _unique(label, taken)
        taken.setdefault(names[node], 0)
    return names


def _unique(label: str, taken: dict[str, int]) -> str:
    found = first = _quoted(label)
    while found in taken:
        taken[first] += 1
        found = _quoted(f"{label}_{taken[first]}")
    return found


def _quoted(label: str) -> str:
    return label if _PLAIN.fullmatch(label) else json.dumps(label)


def _title(names: Names, tensor: Tensor) -> str:
    """The label of an input where the name is not the label."""
    label = getattr(tensor.node.op, "label", "")
    return "" if names[tensor.node] == _quoted(label) else f"({json.dumps(label)})"


def _line(node: Node, names: Names) -> str:
    several = f":{len(node.outputs)}" if len(node.outputs) != 1 else ""
    operands = ", ".join(_use(operand, names) for operand in node.operands)
    attributes = print_attributes(node.op.attributes)
    types = ", ".join(str(tensor.type) for tensor in node.outputs)
    return f"%{names[node]}{several} = {node.op.name}({operands}){' ' + attributes if attributes else ''} : {types}"


def _use(tensor: Tensor, names: Names) -> str:
    return f"%{names[tensor.node]}" + (f"#{tensor.index}" if len(tensor.node.outputs) != 1 else "")


def _comment(node: Node, names: Names) -> str:
    known = node.provenance
    parts = [
        *map(str, sorted(known.sources)),
        *(f"module {name}" for name in sorted(known.modules)),
        *(f"rule {name}" for name in sorted(known.rules)),
        *(f"pass {name}" for name in sorted(known.passes)),
        *(f"from %{name}" for name in sorted((names[origin] for origin in known.origins if origin in names), key=_natural)),
    ]
    return "  // " + " ".join(", ".join(parts).split()) if parts else ""


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (-1, name)


def print_attributes(attributes: Mapping[str, Any]) -> str:
    """`{name=value, ...}`, or nothing."""
    return f"{{{', '.join(f'{name}={print_value(value)}' for name, value in attributes.items())}}}" if attributes else ""


@singledispatch
def print_value(value: Any) -> str:
    """An attribute as text. Ops may be attributes of ops; other objects print what their `repr` says."""
    attributes = getattr(value, "attributes", None)
    return repr(value) if attributes is None else f"{value.name}{print_attributes(attributes) or '{}'}"


@print_value.register
def _(value: str) -> str:
    return json.dumps(value)


@print_value.register
def _(value: int) -> str:
    return repr(value)


@print_value.register
def _(value: float) -> str:
    return float.__repr__(value)


@print_value.register(np.integer)
def _(value: Any) -> str:
    return str(int(value))


@print_value.register
def _(value: tuple) -> str:  # type: ignore[type-arg]
    return f"({_listed(value)}{',' if len(value) == 1 else ''})"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(print_value, values))


@print_value.register
def _(value: Size) -> str:
    """A size that begins like one of the words is written as a multiple, so that it cannot be taken for the word."""
    return _WORD_FIRST.sub(lambda sign: f"{sign[0]}1*", str(value), count=1)


@print_value.register
def _(value: Graph) -> str:
    return print_graph(value).replace("\n", "\n  ")
