"""Reads what `printer` writes, by recursive descent. Nothing is evaluated: attributes are built from literals only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..sizes import Dim
from ..types import TensorType
from .graph import Graph
from .node import REGISTRY, Node, Tensor, make_node
from .printer import WORDS
from .reader import Reader
from .token import Token

_LITERALS = {"True": True, "False": False, "None": None, "inf": float("inf"), "nan": float("nan")}


Array = np.ndarray[Any, Any]


def parse_graph(text: str, inputs: Sequence[Tensor] | None = None, arrays: Iterable[Array] | None = None) -> Graph:
    """The graph that `text` describes. Its placeholders are `inputs` if given, else new ones; its parameters hold `arrays`, used where
    they lie, one after the other, else zeros.

    Raises ParseError with line and column for anything the printer would not write, and where inputs or arrays do not fit.
    """
    parser = _Parser(text, inputs, arrays)
    graph = parser.graph()
    parser.expect("end")
    return graph


def parse_inputs(text: str) -> tuple[Tensor, ...]:
    """New placeholders as the first line of a printed graph declares them. Raises ParseError."""
    return parse_graph(text.partition("\n")[0] + "\n  return\n}").inputs


def parse_size(text: str) -> Dim:
    """A printed size. Raises ParseError."""
    reader = Reader(text)
    size = reader.size()
    reader.expect("end")
    return size


class _Parser(Reader):
    """Graphs and attributes."""

    def __init__(self, text: str, inputs: Sequence[Tensor] | None, arrays: Iterable[Array] | None) -> None:
        super().__init__(text)
        self.given = inputs
        self.arrays: Iterator[Array] | None = None if arrays is None else iter(arrays)

    # -- graphs -------------------------------------------------------------------------------------------------

    def graph(self) -> Graph:
        self.deeper()
        self.word("graph")
        known: dict[str, Node] = {}
        inputs: list[Tensor] = []
        self.expect("(")
        while not self.accept(")"):
            inputs.append(self.input(known, len(inputs)))
            if self.next.kind != ")":
                self.expect(",")
        self.expect("{")
        while self.next.kind == "value":
            self.statement(known)
        self.word("return")
        outputs = self.uses(known) if self.next.kind == "value" else []
        self.expect("}")
        self.depth -= 1
        return Graph(outputs, inputs)

    def input(self, known: dict[str, Node], position: int) -> Tensor:
        token = self.next
        name = self.new_name(known)
        label = self.unquoted(name, token) if name.startswith('"') else name
        if self.accept("("):
            label = self.string()
            self.expect(")")
        self.expect(":")
        type = self.type()
        if self.given is not None and self.depth == 1:
            known[name] = self.given_input(token, position, label, type)
            return known[name].output
        kinds = [kind for kind in REGISTRY.values() if kind.is_input]
        known[name] = self.build(token, kinds[0], {"label": label, "dtype": type.dtype, "shape": type.shape}, [])
        return known[name].output

    def given_input(self, token: Token, position: int, label: str, type: TensorType) -> Node:
        tensor = self.given[position] if self.given is not None and position < len(self.given) else None
        if tensor is None or tensor.name != label or tensor.type != type:
            self.fail(f"input {position} is {tensor!r}, not {label}: {type}", token)
        return tensor.node

    def new_name(self, known: dict[str, Node]) -> str:
        token = self.next
        name = self.expect("value")[1:]
        if name in known:
            self.fail(f"%{name} is defined already", token)
        return name

    def statement(self, known: dict[str, Node]) -> None:
        token = self.next
        name = self.new_name(known)
        count = self.integer() if self.accept(":") else 1
        self.expect("=")
        kind = self.kind()
        self.expect("(")
        operands = self.uses(known) if self.next.kind == "value" else []
        self.expect(")")
        attributes = self.attributes() if self.next.kind == "{" else {}
        self.expect(":")
        node = self.build(token, kind, attributes, operands)
        self.check(token, node, count, self.types())
        known[name] = node

    def kind(self) -> Any:
        token = self.next
        kind = REGISTRY.get(self.expect("name"))
        if kind is None:
            self.fail(f"there is no op {token.text!r}", token)
        return kind

    def build(self, token: Token, kind: Any, attributes: dict[str, Any], operands: list[Tensor]) -> Node:
        """The op applied. Its class and its type rule judge the attributes, in whatever way they are unfit."""
        if kind.is_parameter and self.arrays is not None:
            attributes["array"] = next(self.arrays, None)
        try:
            return make_node(kind.from_attributes(attributes), operands)
        except Exception as error:
            self.fail(f"{kind.name}: {error}", token)

    def check(self, token: Token, node: Node, count: int, declared: list[TensorType]) -> None:
        inferred = [tensor.type for tensor in node.outputs]
        if count != len(inferred) or declared != inferred:
            self.fail(f"{node.op.name} gives {', '.join(map(str, inferred))}, not {', '.join(map(str, declared))}", token)

    def uses(self, known: dict[str, Node]) -> list[Tensor]:
        found = [self.use(known)]
        while self.accept(","):
            found.append(self.use(known))
        return found

    def use(self, known: dict[str, Node]) -> Tensor:
        token = self.next
        node = known.get(self.expect("value")[1:])
        index = self.integer() if self.accept("#") else 0
        if node is None:
            self.fail(f"{token.text} is not defined above", token)
        if index >= len(node.outputs):
            self.fail(f"{token.text} has {len(node.outputs)} results, so none of number {index}", token)
        return node.outputs[index]

    # -- attributes ---------------------------------------------------------------------------------------------

    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.expect("{")
        while not self.accept("}"):
            token = self.next
            name = self.expect("name")
            if name in found:
                self.fail(f"attribute {name} is given twice", token)
            self.expect("=")
            found[name] = self.value()
            if self.next.kind != "}":
                self.expect(",")
        return found

    def value(self) -> Any:
        self.deeper()
        found = self.literal()
        self.depth -= 1
        return found

    def literal(self) -> Any:
        token = self.next
        after = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if token.kind == "string":
            return self.string()
        if token.kind == "-" and (after.kind == "float" or after.text in ("inf", "nan")):
            self.at += 1
            return -self.floating()
        if token.kind == "float" or token.text in WORDS:
            return self.floating()
        if token.kind == "name" and after.kind == "{":
            return self.op()
        if token.text == "graph" and after.kind == "(":
            return self.graph()
        return self.tuple() if token.kind == "(" and not self.divides() else self.size()

    def floating(self) -> Any:
        text = self.next.text
        self.at += 1
        return _LITERALS[text] if text in _LITERALS else float(text)

    def op(self) -> Any:
        token = self.next
        kind = self.kind()
        attributes = self.attributes()
        try:
            return kind.from_attributes(attributes)
        except Exception as error:
            self.fail(f"{kind.name}: {error}", token)

    def tuple(self) -> tuple[Any, ...]:
        self.expect("(")
        found: list[Any] = []
        while not self.accept(")"):
            found.append(self.value())
            if self.next.kind != ")" or len(found) == 1:
                self.expect(",")
        return tuple(found)
