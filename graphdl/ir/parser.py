"""Reads what `printer` writes, by recursive descent. Nothing is evaluated: attributes are built from literals only."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ..sizes import Dim, Size, floordiv, maximum, minimum, mod, product, symbol
from ..types import DTYPES, TensorType
from .graph import Graph
from .node import REGISTRY, Node, Tensor, make_node
from .printer import WORDS
from .token import Token, tokenize

MAXIMUM_DEPTH = 50
_LITERALS = {"True": True, "False": False, "None": None, "inf": float("inf"), "nan": float("nan")}
_EXTREMA = {"min": minimum, "max": maximum}
_DIVISIONS = {"//": floordiv, "%": mod}


def parse_graph(text: str) -> Graph:
    """The graph that `text` describes; parameters hold zeros, placeholders are new.

    Raises ParseError with line and column for anything the printer would not write.
    """
    parser = _Parser(text)
    graph = parser.graph()
    parser.expect("end")
    return graph


class _Parser:
    """A place in the tokens; each method reads one piece of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.at = 0
        self.depth = 0

    # -- tokens -------------------------------------------------------------------------------------------------

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        (token or self.next).fail(self.text, message)

    def accept(self, kind: str) -> bool:
        """Step over the next token if it is of that kind (a sign is its own kind)."""
        found = self.next.kind == kind
        self.at += found
        return found

    def expect(self, kind: str) -> str:
        token = self.next
        if not self.accept(kind):
            self.fail(f"expected {kind}, found {token.text!r}")
        return token.text

    def word(self, text: str) -> None:
        if self.next.text != text:
            self.fail(f"expected {text}, found {self.next.text!r}")
        self.expect("name")

    def integer(self) -> int:
        return int(self.expect("integer"))

    # -- graphs -------------------------------------------------------------------------------------------------

    def graph(self) -> Graph:
        self.deeper()
        self.word("graph")
        known: dict[str, Node] = {}
        inputs: list[Tensor] = []
        self.expect("(")
        while not self.accept(")"):
            inputs.append(self.input(known))
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

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAXIMUM_DEPTH:
            self.fail(f"nested deeper than {MAXIMUM_DEPTH}")

    def input(self, known: dict[str, Node]) -> Tensor:
        token = self.next
        name = self.new_name(known)
        label = self.unquoted(name, token) if name.startswith('"') else name
        if self.accept("("):
            label = self.string()
            self.expect(")")
        self.expect(":")
        type = self.type()
        kinds = [kind for kind in REGISTRY.values() if kind.is_input]
        known[name] = self.build(token, kinds[0], {"label": label, "dtype": type.dtype, "shape": type.shape}, [])
        return known[name].output

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

    # -- types --------------------------------------------------------------------------------------------------

    def types(self) -> list[TensorType]:
        found = [self.type()]
        while self.accept(","):
            found.append(self.type())
        return found

    def type(self) -> TensorType:
        token = self.next
        dtype = self.expect("name")
        if dtype not in DTYPES:
            self.fail(f"there is no dtype {dtype!r}", token)
        self.expect("[")
        shape: list[Dim] = []
        while not self.accept("]"):
            shape.append(self.size())
            if self.next.kind != "]":
                self.expect(",")
        return TensorType(dtype, tuple(shape))

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

    def string(self) -> str:
        token = self.next
        return self.unquoted(self.expect("string"), token)

    def unquoted(self, quoted: str, token: Token) -> str:
        try:
            text: str = json.loads(quoted)
        except ValueError as error:
            self.fail(f"{quoted} is no string: {error}", token)
        return text

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

    def divides(self) -> bool:
        """Whether the bracket that opens here is a division of sizes, not a tuple."""
        depth = 0
        for at in range(self.at, len(self.tokens)):
            token = self.tokens[at]
            depth += (token.kind in "([{") - (token.kind in ")]}")
            if depth == 0 or (depth == 1 and token.kind in (",", *_DIVISIONS)):
                return token.kind in _DIVISIONS
        return False

    # -- sizes --------------------------------------------------------------------------------------------------

    def size(self) -> Dim:
        """A polynomial: terms with signs, each a product of atoms."""
        self.deeper()
        total: Dim = self.term(-1 if self.accept("-") else 1)
        while self.next.kind in ("+", "-"):
            total = total + self.term(1 if self.expect(self.next.kind) == "+" else -1)
        self.depth -= 1
        return total

    def term(self, sign: int) -> Dim:
        factors = [self.factor()]
        while self.accept("*"):
            factors.append(self.factor())
        return sign * product(factors)

    def factor(self) -> Dim:
        if self.next.kind == "integer":
            return self.integer()
        if self.accept("("):
            found = self.division()
            self.expect(")")
            return found
        name = self.expect("name")
        return self.extremum(name) if name in _EXTREMA and self.next.kind == "(" else symbol(name)

    def division(self) -> Dim:
        self.deeper()
        left = self.side()
        token = self.next
        if token.kind not in _DIVISIONS:
            self.fail(f"expected // or %, found {token.text!r}")
        self.expect(token.kind)
        right = self.side()
        self.depth -= 1
        return self.combine(token, _DIVISIONS[token.kind], left, right)

    def side(self) -> Dim:
        """One side of a division: an integer or a name, or anything else in brackets."""
        if self.next.kind != "(" or self.divides():
            return self.factor()
        self.expect("(")
        found = self.size()
        self.expect(")")
        return found

    def extremum(self, name: str) -> Dim:
        token = self.next
        self.deeper()
        self.expect("(")
        left = self.side()
        self.expect(",")
        right = self.side()
        self.expect(")")
        self.depth -= 1
        return self.combine(token, _EXTREMA[name], left, right)

    def combine(self, token: Token, function: Any, left: Dim, right: Dim) -> Dim:
        try:
            found: int | Size = function(left, right)
        except Exception as error:
            self.fail(f"not a size: {error}", token)
        return found
