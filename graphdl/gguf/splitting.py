"""How text is cut into words before byte pairs are merged: the patterns that models name, on Unicode's classes.

Python's `re` has no classes such as `\\p{L}`. So the patterns run over a shadow of the text in which every letter beyond ASCII
is one letter and every number one digit; a match has the same place in both.

Patterns: GPT-2 (Radford et al. 2019) and its variants of one digit at a time; Llama 3 and Qwen 2, as their tokenizers state them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from ..errors import FormatError

_LETTER, _NUMBER, _OTHER, _SPACE = "a", "0", "!", " "
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
_ENDINGS = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
_REST = r" ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# By the name that a file gives: patterns that cut the text one after the other.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "smollm": (r"[0-9]", _GPT2),
    "llama-bpe": (rf"{_ENDINGS}|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{{1,3}}|{_REST}",),
    "qwen2": (rf"{_ENDINGS}|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]|{_REST}",),
}
_SAME = {
    "default": "gpt-2", "gpt2": "gpt-2", "mpt": "gpt-2", "olmo": "gpt-2", "jais": "gpt-2", "starcoder": "smollm", "refact": "smollm", "command-r": "smollm",
    "codeshell": "smollm", "exaone": "smollm", "llama3": "llama-bpe", "llama-v3": "llama-bpe", "deepseek-r1-qwen": "qwen2",
}  # fmt: skip


class Splitter:
    """Cuts text as the pre-tokenizer of that name does. Raises FormatError for names that graphdl does not know."""

    def __init__(self, name: str) -> None:
        patterns = _PATTERNS.get(_SAME.get(name, name))
        if patterns is None:
            raise FormatError(f"the tokenizer cuts text as {name!r} does, which graphdl does not know; it knows {', '.join(sorted({*_PATTERNS, *_SAME}))}")
        self.patterns = [re.compile(pattern, re.ASCII) for pattern in patterns]

    def split(self, text: str) -> list[str]:
        """The words of a text, which together are all of it."""
        shadow, cuts = "".join(map(_shadow, text)), [(0, len(text))]
        for pattern in self.patterns:
            cuts = [piece for begin, end in cuts for piece in _cut(pattern, shadow[begin:end], begin)]
        return [text[begin:end] for begin, end in cuts]


def _cut(pattern: re.Pattern[str], shadow: str, start: int) -> Iterator[tuple[int, int]]:
    """Where matches and what lies between them begin and end."""
    place = 0
    for match in pattern.finditer(shadow):
        if match.start() > place:
            yield start + place, start + match.start()
        if match.end() > match.start():
            yield start + match.start(), start + match.end()
        place = match.end()
    if place < len(shadow):
        yield start + place, start + len(shadow)


def _shadow(character: str) -> str:
    """What stands for a character in the shadow: itself within ASCII."""
    if character.isascii():
        return character
    if character.isspace():
        return _SPACE
    return {"L": _LETTER, "N": _NUMBER}.get(unicodedata.category(character)[0], _OTHER)
