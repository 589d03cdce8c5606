"""Compilations as bytes: the text of the declared graph, where its nodes come from, and the arrays of its parameters.

Reading gives a compilation whose graph is parsed only when somebody looks at it: a program whose code lies beside it runs without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .container import ALIGNMENT, Bytes, pack_parts, read_json, unpack_parts
from .errors import CompileError, FormatError, GraphdlError, ParseError
from .ir import Graph, Node, Source, Tensor
from .ir.lineage import restore_lineage, write_lineage
from .ir.parser import parse_graph, parse_inputs, parse_size
from .ir.provenance import told_later
from .pipeline import Compilation
from .rewrite import map_nodes
from .rewrite.regions import everywhere
from .signature import Equality, Signature
from .types import DTYPES, numpy_dtype

Array = np.ndarray[Any, Any]
Facts = dict[str, Any]
_CODE = "code "


@dataclass(frozen=True)
class StoredProgram:
    """What was read: the compilation, the options of the program, and the code that a backend has packed."""

    compilation: Compilation
    options: Facts
    code: tuple[bytes, ...]


def write_program(compilation: Compilation, options: Facts, code: Sequence[bytes] = ()) -> bytes:
    """All of a program in one sequence of bytes. Raises CompileError for ops that have no text."""
    declared = compilation.declared
    graph = _textual(Graph((*declared.graph.outputs, *declared.updated), declared.graph.inputs))
    text = str(graph)
    state = [tensor.value for tensor in graph.parameters]
    _check_text(text, graph)
    facts = {
        "visible": declared.visible,
        "updated": len(declared.updated),
        "passes": compilation.passes if isinstance(compilation.passes, str) else list(compilation.passes),
        "mode": compilation.mode,
        "lines": [_line(tensor) for tensor in graph.inputs],
        "equalities": [[str(left), str(right), where] for left, right, where in declared.signature.equalities],
        "parameters": [[array.dtype.name, list(array.shape)] for array in state],
        "options": options,
    }
    parts = {
        "facts": json.dumps(facts).encode(),
        "graph": text.encode(),
        "lineage": json.dumps(write_lineage(graph)).encode(),
        "parameters": b"".join(_padded(array) for array in state),
    }
    return pack_parts({**parts, **{f"{_CODE}{k}": data for k, data in enumerate(code)}})


def read_program(data: bytes | Bytes) -> StoredProgram:
    """A program that `write_program` wrote. Parameters lie in `data` where that is writeable, else in a copy. Raises FormatError."""
    held = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    held = held if held.flags.writeable and held.ctypes.data % ALIGNMENT == 0 else aligned_copy(held)
    parts = unpack_parts(held)
    code = [name for name in parts if name.startswith(_CODE)]
    if list(parts) != ["facts", "graph", "lineage", "parameters", *code]:
        raise FormatError(f"it holds {', '.join(parts) or 'nothing'}, not the parts of a program")
    facts = _checked(read_json(parts["facts"].tobytes(), "facts"))
    try:
        declared = StoredDeclaration(facts, parts)
        compilation = Compilation(declared, facts["passes"], facts["mode"])
    except CompileError as error:
        raise FormatError(str(error)) from None
    return StoredProgram(compilation, facts["options"], tuple(parts[name].tobytes() for name in code))


class StoredDeclaration:
    """A declaration whose graph is read from its text when it is first asked for."""

    def __init__(self, facts: Facts, parts: Mapping[str, Bytes]) -> None:
        self._facts, self._parts = facts, parts
        self.visible: int = facts["visible"]
        self.is_stateful = facts["updated"] > 0
        self.state = _arrays(facts["parameters"], parts["parameters"])
        self.signature = _signature(self._text, facts)

    @property
    def _text(self) -> str:
        try:
            return self._parts["graph"].tobytes().decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"its graph is no text: {error}") from None

    @cached_property
    def _whole(self) -> Graph:
        """The results, the new values, and the parameters that get them. Raises FormatError."""
        try:
            with told_later():
                graph = parse_graph(self._text, self.signature.inputs, self.state)
        except ParseError as error:
            raise FormatError(f"its graph cannot be read: {error}") from None
        count, updated = len(graph.outputs), self._facts["updated"]
        fits = count == self.visible + 2 * updated and all(tensor.node.op.is_parameter for tensor in graph.outputs[count - updated :])
        if not fits or len(graph.parameters) != len(self.state):
            raise FormatError("its graph has other results or parameters than its facts say")
        restore_lineage(graph, read_json(self._parts["lineage"].tobytes(), "lineage"))
        return graph

    @cached_property
    def _results(self) -> Graph:
        return Graph(self._whole.outputs[: self.visible + self._facts["updated"]], self.signature.inputs)

    @property
    def graph(self) -> Graph:
        return self._results

    @property
    def updated(self) -> tuple[Tensor, ...]:
        return self._whole.outputs[self.visible + self._facts["updated"] :]

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        return self._whole.parameters


def aligned_copy(data: Bytes) -> Bytes:
    """The same bytes at a multiple of 64 bytes, in memory of their own."""
    found = aligned_empty(data.size)
    found[:] = data
    return found


def aligned_empty(size: int) -> Bytes:
    """So many bytes at a multiple of 64 bytes."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + size]


def _textual(graph: Graph) -> Graph:
    """The graph without what exists only as a Python function: rules of derivatives, which no program needs."""

    def without(node: Node, operands: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        found = None if node.op.has_text else node.op.canonical(*operands)
        return None if found is None else (found,)

    return everywhere(lambda part: map_nodes(part, without, "stored"), graph, "stored")


def _check_text(text: str, graph: Graph) -> None:
    try:
        with told_later():
            same = str(parse_graph(text, graph.inputs, [tensor.value for tensor in graph.parameters])) == text
    except ParseError as error:
        raise CompileError(f"the program has an op that cannot be written as text: {error}") from None
    if not same:
        raise CompileError("the program's graph is not read back as it is written")


def _padded(array: Array) -> bytes:
    data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return data + bytes(-len(data) % ALIGNMENT)


def _arrays(entries: list[Any], memory: Bytes) -> tuple[Array, ...]:
    """The parameters where they lie. Raises FormatError where sizes do not add up."""
    found: list[Array] = []
    place = 0
    for dtype, shape in entries:
        kind = numpy_dtype(dtype).newbyteorder("<")
        size = kind.itemsize
        for extent in shape:
            size *= extent
        if place + size > memory.size:
            raise FormatError("its parameters are larger than what it holds of them")
        found.append(memory[place : place + size].view(kind).reshape(shape).astype(numpy_dtype(dtype), copy=False))
        place += size + -size % ALIGNMENT
    if place != memory.size:
        raise FormatError("its parameters are smaller than what it holds of them")
    return tuple(found)


def _line(tensor: Tensor) -> list[Any]:
    source = tensor.node.provenance.source
    return [source.file, source.line] if source else []


def _signature(text: str, facts: Facts) -> Signature:
    """The inputs, with their lines for messages, and what sizes must be equal."""
    try:
        with told_later():
            inputs = parse_inputs(text)
        told: list[Equality] = [(parse_size(left), parse_size(right), where) for left, right, where in facts["equalities"]]
    except GraphdlError as error:
        raise FormatError(f"its inputs cannot be read: {error}") from None
    for tensor, line in zip(inputs, facts["lines"], strict=False):
        tensor.node.provenance.sources.update([Source(*line)] if line else [])
    return Signature(inputs, told)


def _checked(facts: Any) -> Facts:
    """Raises FormatError unless the facts have the types that they must have."""
    lists, counts = dict.fromkeys(("lines", "equalities", "parameters"), list), dict.fromkeys(("visible", "updated"), int)
    wanted: dict[str, type | tuple[type, ...]] = {**lists, **counts, "passes": (str, list), "mode": str, "options": dict}
    if not isinstance(facts, dict) or facts.keys() != wanted.keys() or not all(isinstance(facts[name], kind) for name, kind in wanted.items()):
        raise FormatError("its facts are not those of a program")
    fits = facts["visible"] >= 0 and facts["updated"] >= 0 and facts["mode"] in ("train", "inference")
    fits = fits and all(isinstance(row, list) and len(row) == 3 and all(isinstance(text, str) for text in row) for row in facts["equalities"])
    fits = fits and all(line == [] or (isinstance(line, list) and list(map(type, line)) == [str, int]) for line in facts["lines"])
    fits = fits and all(isinstance(name, str) for name in facts["passes"])
    if not fits or not all(map(_is_parameter, facts["parameters"])):
        raise FormatError("its facts do not fit together")
    return facts


def _is_parameter(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != 2 or row[0] not in DTYPES or not isinstance(row[1], list) or len(row[1]) > 64:
        return False
    return all(type(extent) is int and 0 <= extent < 1 << 48 for extent in row[1])
