"""A place in the tokens of a printed graph, and how strings, types and sizes are read from there."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ..sizes import Dim, Size, floordiv, maximum, minimum, mod, product, symbol
from ..types import DTYPES, TensorType
from .token import Token, tokenize

MAXIMUM_DEPTH = 50
_EXTREMA = {"min": minimum, "max": maximum}
_DIVISIONS = {"//": floordiv, "%": mod}


class Reader:
    """The base of the parser; each method reads one piece of the grammar."""

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

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAXIMUM_DEPTH:
            self.fail(f"nested deeper than {MAXIMUM_DEPTH}")

    def string(self) -> str:
        token = self.next
        return self.unquoted(self.expect("string"), token)

    def unquoted(self, quoted: str, token: Token) -> str:
        try:
            text: str = json.loads(quoted)
        except ValueError as error:
            self.fail(f"{quoted} is no string: {error}", token)
        return text

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

    def divides(self) -> bool:
        """Whether the bracket that opens here is a division of sizes, not a tuple."""
        depth = 0
        for at in range(self.at, len(self.tokens)):
            token = self.tokens[at]
            depth += (token.kind in "([{") - (token.kind in ")]}")
            if depth == 0 or (depth == 1 and token.kind in (",", *_DIVISIONS)):
                return token.kind in _DIVISIONS
        return False
