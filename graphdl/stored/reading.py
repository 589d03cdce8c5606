"""From bytes to a compilation whose graph is read when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import NoneType
from typing import Any

import numpy as np

from ..budget import Budget
from ..container import read_json, unpack_parts
from ..errors import CompileError, FormatError, GraphdlError, ParseError
from ..ir import Graph, Source, Tensor, told_later
from ..ir.lineage import restore_lineage
from ..ir.parser import parse_graph, parse_inputs, parse_size
from ..memory import ALIGNMENT, Bytes, aligned_copy
from ..pipeline import Compilation
from ..record import record
from ..signature import Equality, Signature
from ..types import DTYPES
from .state import read_arrays
from .writing import CODE

Facts = dict[str, Any]
MAX_RANK = 64
MAX_SIZE = 1 << 48


@record
class StoredProgram:
    """What was read: the compilation, the options of the program, and the code that a backend has packed."""

    compilation: Compilation
    options: Facts
    code: tuple[bytes, ...]


def read_program(data: bytes | Bytes) -> StoredProgram:
    """A program that `write_program` wrote. Parameters lie in `data` where that is writeable, else in a copy. Raises FormatError."""
    held = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    held = held if held.flags.writeable and held.ctypes.data % ALIGNMENT == 0 else aligned_copy(held)
    parts = unpack_parts(held)
    code = [name for name in parts if name.startswith(CODE)]
    if list(parts) != ["facts", "graph", "lineage", "parameters", *code]:
        raise FormatError(f"it holds {', '.join(parts) or 'nothing'}, not the parts of a program")
    facts = _checked(read_json(parts["facts"].tobytes(), "facts"))
    try:
        declared = StoredDeclaration(facts, parts)
        budget = None if facts["budget"] is None else Budget.from_json(facts["budget"])
        compilation = Compilation(declared, facts["passes"], facts["mode"], budget, frozen=facts["frozen"])
    except CompileError as error:
        raise FormatError(str(error)) from None
    return StoredProgram(compilation, facts["options"], tuple(parts[name].tobytes() for name in code))


class StoredDeclaration:
    """A declaration whose graph is read from its text when it is first asked for."""

    def __init__(self, facts: Facts, parts: Mapping[str, Bytes]) -> None:
        self._facts, self._parts = facts, parts
        self.visible: int = facts["visible"]
        self.is_stateful = facts["updated"] > 0
        self.state = read_arrays(facts["parameters"], parts["parameters"])
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
        """The declared graph. A call checks sizes by the facts alone, so those must say what the graph needs. Raises FormatError."""
        graph = Graph(self._whole.outputs[: self.visible + self._facts["updated"]], self.signature.inputs)
        try:
            needed = Signature.of(graph).equalities
        except CompileError as error:
            raise FormatError(f"its graph cannot be called: {error}") from None
        if [row[:2] for row in needed] != [row[:2] for row in self.signature.equalities]:
            raise FormatError("its graph needs other sizes to be equal than its facts say")
        return graph

    @property
    def graph(self) -> Graph:
        return self._results

    @property
    def updated(self) -> tuple[Tensor, ...]:
        return self._whole.outputs[self.visible + self._facts["updated"] :]

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        return self._whole.parameters


def _signature(text: str, facts: Facts) -> Signature:
    """The inputs, with their lines for messages, and what sizes must be equal."""
    try:
        with told_later():
            inputs = parse_inputs(text)
        told: list[Equality] = [(parse_size(left), parse_size(right), where) for left, right, where in facts["equalities"]]
    except GraphdlError as error:
        raise FormatError(f"its inputs cannot be read: {error}") from None
    for tensor, line in zip(inputs, facts["lines"], strict=False):
        tensor.node.provenance.sources |= {Source(*line)} if line else frozenset()
    return Signature(inputs, told)


def _checked(facts: Any) -> Facts:
    """Raises FormatError unless the facts have the types that they must have."""
    lists, counts = dict.fromkeys(("lines", "equalities", "parameters"), list), dict.fromkeys(("visible", "updated"), int)
    wanted: dict[str, type | tuple[type, ...]] = {
        **lists,
        **counts,
        "passes": (str, list),
        "mode": str,
        "budget": (dict, NoneType),
        "frozen": bool,
        "options": dict,
    }
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
    if not isinstance(row, list) or len(row) != 2 or row[0] not in DTYPES or not isinstance(row[1], list) or len(row[1]) > MAX_RANK:
        return False
    return all(type(extent) is int and 0 <= extent < MAX_SIZE for extent in row[1])
