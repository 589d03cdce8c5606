"""The words of a printed graph."""

from __future__ import annotations

import re
from typing import NoReturn

from ..errors import ParseError
from ..record import record

MAXIMUM_DIGITS = 40
# `%` before a name marks a value unless it stands right behind an operand: then it is the modulo of sizes.
# `//` with blanks around it begins a comment, without it is the division of sizes.
_TOKEN = re.compile(
    r"""(?P<blank>\s+(?://\s[^\n]*)?)
      | (?P<value>(?<![\w)])%(?:[A-Za-z0-9_.]+|"(?:[^"\\\n]|\\.)*"))
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<float>\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+)
      | (?P<integer>\d+)
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>//|[-+*%=:,#(){}\[\]])""",
    re.VERBOSE | re.ASCII,
)
_WORD = re.compile(r"[^\W\d]\w*")


@record(slots=True)
class Token:
    """A word with its place; the kind of a sign is the sign."""

    kind: str
    text: str
    at: int

    def fail(self, text: str, message: str) -> NoReturn:
        line, start = text.count("\n", 0, self.at) + 1, text.rfind("\n", 0, self.at) + 1
        raise ParseError(f"line {line}, column {self.at - start + 1}: {message}")


def tokenize(text: str) -> list[Token]:
    """Every token of `text`, and `end`. Raises ParseError at the first character that begins none."""
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at) or _WORD.match(text, at)
        if match is None:
            Token("", "", at).fail(text, f"{text[at]!r} begins nothing that the printer writes")
        kind = match.lastgroup or "name"
        at = match.end()
        if kind != "blank":
            tokens.append(_checked(Token(match[0] if kind == "sign" else kind, match[0], match.start()), text))
    return [*tokens, Token("end", "the end", len(text))]


def _checked(token: Token, text: str) -> Token:
    if token.kind in ("integer", "float") and len(token.text) > MAXIMUM_DIGITS:
        token.fail(text, f"a number of more than {MAXIMUM_DIGITS} digits")
    if token.kind == "name" and not token.text.isidentifier():
        token.fail(text, f"{token.text!r} is no name")
    return token
