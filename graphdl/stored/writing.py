"""From a compilation to bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..container import pack_parts
from ..declaration import Declaration
from ..errors import CompileError, ParseError
from ..ir import Graph, Node, Tensor, told_later
from ..ir.lineage import write_lineage
from ..ir.parser import parse_graph
from ..ir.printer import print_value
from ..pipeline import Compilation
from ..rewrite import map_nodes
from ..rewrite.regions import everywhere
from .state import write_arrays

CODE = "code "  # before the number of a part that holds code


def write_program(compilation: Compilation, options: dict[str, Any], code: Sequence[bytes] = ()) -> bytes:
    """All of a program in one sequence of bytes; `code` is what a backend has packed of the `textual` compilation.

    Raises CompileError for ops that have no text.
    """
    compilation = textual(compilation)
    declared = compilation.declared
    graph = Graph((*declared.graph.outputs, *declared.updated), declared.graph.inputs)
    text = str(graph)
    _check_text(text, graph)
    facts = {
        "visible": declared.visible,
        "updated": len(declared.updated),
        "passes": compilation.passes if isinstance(compilation.passes, str) else list(compilation.passes),
        "mode": compilation.mode,
        "lines": [_line(tensor) for tensor in graph.inputs],
        "equalities": [[print_value(left), print_value(right), where] for left, right, where in declared.signature.equalities],
        "parameters": [[tensor.dtype, list(tensor.shape)] for tensor in declared.parameters],
        "budget": compilation.budget.to_json() if compilation.budget else None,
        "frozen": compilation.frozen,
        "options": options,
    }
    parts = {
        "facts": json.dumps(facts).encode(),
        "graph": text.encode(),
        "lineage": json.dumps(write_lineage(graph)).encode(),
        "parameters": write_arrays(declared.state),
    }
    return pack_parts({**parts, **{f"{CODE}{k}": data for k, data in enumerate(code)}})


def textual(compilation: Compilation) -> Compilation:
    """The compilation without what exists only as a Python function: rules of derivatives, which no program needs."""
    declared = compilation.declared
    graph = everywhere(lambda part: map_nodes(part, _without_functions, "stored"), declared.graph, "stored")
    if graph is declared.graph:
        return compilation
    own = Declaration(graph, declared.visible, declared.updated)
    return Compilation(own, compilation.passes, compilation.mode, compilation.budget, compilation.tuned, frozen=compilation.frozen)


def _without_functions(node: Node, operands: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    found = None if node.op.has_text else node.op.canonical(*operands)
    return None if found is None else (found,)


def _check_text(text: str, graph: Graph) -> None:
    try:
        with told_later():
            same = str(parse_graph(text, graph.inputs, [tensor.value for tensor in graph.parameters])) == text
    except ParseError as error:
        raise CompileError(f"the program has an op that cannot be written as text: {error}") from None
    if not same:
        raise CompileError("the program's graph is not read back as it is written")


def _line(tensor: Tensor) -> list[Any]:
    source = tensor.node.provenance.source
    return [source.file, source.line] if source else []
