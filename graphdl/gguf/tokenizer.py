"""Text to token numbers and back: byte pair encoding of bytes, from the metadata of a GGUF file."""

from __future__ import annotations

import codecs
import heapq
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from ..errors import FormatError
from .cursor import Value
from .splitting import Splitter

_CONTROL, _USER_DEFINED = 3, 4  # kinds of tokens that stand for themselves in a text
_Waiting = tuple[int, int, tuple[str, str]]  # rank, place and pair
_REMEMBERED = 65536  # words whose tokens are kept


class Tokenizer:
    """The byte-level tokenizer of GPT-2 and what follows it: `pieces` by number, and pairs of pieces in the order they merge.

    Radford et al. 2019, section 2.2; Sennrich, Haddow, Birch 2016. Raises FormatError for metadata of other tokenizers, or damaged.
    """

    def __init__(self, metadata: Mapping[str, Value]) -> None:
        model = metadata.get("tokenizer.ggml.model")
        if model != "gpt2":
            raise FormatError(f"the file's tokenizer is {model!r}; graphdl has that of byte pairs, 'gpt2'")
        self.pieces = _strings(metadata, "tokenizer.ggml.tokens")
        self.numbers = {piece: number for number, piece in enumerate(self.pieces)}
        self.ranks = {pair: rank for rank, pair in enumerate(map(_pair, _strings(metadata, "tokenizer.ggml.merges")))}
        self.splitter = Splitter(str(metadata.get("tokenizer.ggml.pre", "default")))
        self.begin, self.end = (self._special(metadata, name) for name in ("bos", "eos"))
        self.adds_begin = metadata.get("tokenizer.ggml.add_bos_token") is True and self.begin is not None
        kinds = metadata.get("tokenizer.ggml.token_type")
        self.kinds = kinds if isinstance(kinds, np.ndarray) and len(kinds) == len(self.pieces) else np.ones(len(self.pieces), "int32")
        marks = [self.pieces[number] for number in np.flatnonzero(np.isin(self.kinds, (_CONTROL, _USER_DEFINED))) if self.pieces[number]]
        self._marks = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True)))) if marks else None
        self._known: dict[str, tuple[int, ...]] = {}

    def _special(self, metadata: Mapping[str, Value], name: str) -> int | None:
        """The number of a token with a role, if the file names one."""
        key = f"tokenizer.ggml.{name}_token_id"
        number = metadata.get(key)
        if number is None:
            return None
        if type(number) is not int or not 0 <= number < len(self.pieces):
            raise FormatError(f"{key} is {number!r}, which is none of the {len(self.pieces)} tokens")
        return number

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The tokens of a text. With `special`, names of control tokens in it, such as <|im_start|>, are those tokens.

        Raises FormatError where the file lacks a token for a byte.
        """
        found = [self.begin] if self.adds_begin and self.begin is not None else []
        for part, is_mark in self._parts(text) if special and self._marks else [(text, False)]:
            found += [self.numbers[part]] if is_mark else [token for word in self.splitter.split(part) for token in self._word(word)]
        return found

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """The text around the names of control tokens, and those."""
        assert self._marks is not None
        place = 0
        for match in self._marks.finditer(text):
            yield text[place : match.start()], False
            yield match[0], True
            place = match.end()
        yield text[place:], False

    def _word(self, word: str) -> tuple[int, ...]:
        known = self._known.get(word)
        if known is None:
            known = tuple(self._number(piece) for piece in _merged([_LETTERS[byte] for byte in word.encode("utf-8", "surrogatepass")], self.ranks))
            if len(self._known) < _REMEMBERED:
                self._known[word] = known
        return known

    def _number(self, piece: str) -> int:
        if piece not in self.numbers:
            raise FormatError(f"the tokenizer's file has no token for {piece!r}")
        return self.numbers[piece]

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for; control tokens stand for none."""
        if self.kinds[token] == _CONTROL:
            return b""
        piece = self.pieces[token]
        if self.kinds[token] == _USER_DEFINED:
            return piece.encode()
        return b"".join(bytes([_BYTES[letter]]) if letter in _BYTES else letter.encode() for letter in piece)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; bytes that are no UTF-8 become U+FFFD."""
        return "".join(self.stream(tokens))

    def stream(self, tokens: Iterable[int]) -> Iterator[str]:
        """The text token by token: a character comes with the last of its bytes."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in tokens:
            yield decoder.decode(self.bytes_of(int(token)))
        yield decoder.decode(b"", final=True)


def _strings(metadata: Mapping[str, Value], key: str) -> list[str]:
    found = metadata.get(key)
    if not isinstance(found, list):
        raise FormatError(f"the metadata has no strings {key}")
    return found


def _pair(merge: str) -> tuple[str, str]:
    left, space, right = merge.partition(" ")
    if not (left and space and right):
        raise FormatError(f"{merge!r} among tokenizer.ggml.merges is no pair of pieces")
    return left, right


def _merged(pieces: list[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """The pieces of a word with pairs merged, those of the lowest rank first and of one rank from the left.

    Pairs wait in a heap and neighbours are linked, so a word of n letters takes n log n steps.
    """
    held: list[str | None] = list(pieces)
    following, before = list(range(1, len(pieces) + 1)), list(range(-1, len(pieces) - 1))
    heap = [(ranks[pair], place, pair) for place, pair in enumerate(itertools.pairwise(pieces)) if pair in ranks]
    heapq.heapify(heap)
    while heap:
        _, place, pair = heapq.heappop(heap)
        other = following[place]
        if other >= len(held) or (held[place], held[other]) != pair:
            continue  # one of them was merged meanwhile
        held[place], held[other] = "".join(pair), None
        end = following[place] = following[other]
        if end < len(held):
            before[end] = place
        for left in (before[place], place):
            _push(heap, left, held, following, ranks)
    return [piece for piece in held if piece is not None]


def _push(heap: list[_Waiting], place: int, held: list[str | None], following: list[int], ranks: Mapping[tuple[str, str], int]) -> None:
    """Let the pair at a place wait, if there is one that merges."""
    if place < 0 or following[place] >= len(held):
        return
    left, right = held[place], held[following[place]]
    if left is not None and right is not None and (left, right) in ranks:
        heapq.heappush(heap, (ranks[left, right], place, (left, right)))


def _letters() -> list[str]:
    """A printable letter for every byte: itself where it prints, else one from U+0100 on, as GPT-2 has them."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


_LETTERS = _letters()
_BYTES = {letter: byte for byte, letter in enumerate(_LETTERS)}
