"""Reading a GGUF header piece by piece: nothing is taken from beyond the file, and no memory for more than it holds."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from ..errors import FormatError

Value = bool | int | float | str | list[str] | np.ndarray[Any, Any]

# The format's numbers of the types of metadata that have one width: struct's letters, all little-endian.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
SHORTEST_STRING = 8  # bytes: its length alone


class Cursor:
    """A place in the bytes of a file. Every method raises FormatError where the file ends too early."""

    def __init__(self, data: memoryview, told: str) -> None:
        self.data, self.told = data, told
        self.place = 0

    @property
    def left(self) -> int:
        """The bytes that remain."""
        return len(self.data) - self.place

    def error(self, message: str) -> FormatError:
        """What to raise about what stands here."""
        return FormatError(f"{self.told}: {message} (at byte {self.place})")

    def take(self, count: int, what: str) -> memoryview:
        """The next `count` bytes."""
        if count > self.left:
            raise self.error(f"{what} takes {count} bytes, but {self.left} remain")
        found = self.data[self.place : self.place + count]
        self.place += count
        return found

    def number(self, letter: str, what: str) -> Any:
        """The next number of one of struct's types."""
        (found,) = struct.unpack(f"<{letter}", self.take(struct.calcsize(f"<{letter}"), what))
        return found

    def count(self, what: str, least_bytes: int) -> int:
        """A number of things that take at least `least_bytes` each, so many as can still follow."""
        found: int = self.number("Q", what)
        if found * least_bytes > self.left:
            raise self.error(f"{found} {what} do not fit the {self.left} bytes that remain")
        return found

    def text(self, what: str) -> str:
        """A string: its length in bytes, then UTF-8. A vocabulary has a hundred thousand of them, so it is read in few steps."""
        begin = self.place + SHORTEST_STRING
        end = begin + int.from_bytes(self.data[self.place : begin], "little")
        if end > len(self.data):
            self.take(self.count(f"bytes of {what}", 1), what)  # raises, and tells what does not fit
        self.place = end
        try:
            return str(self.data[begin:end], "utf-8")
        except UnicodeDecodeError:
            raise self.error(f"{what} is no UTF-8") from None

    def value(self, what: str) -> Value:
        """A number, a string, or an array of either, behind the number of its type."""
        kind: int = self.number("I", what)
        if kind == _ARRAY:
            return self._array(what)
        if kind == _STRING:
            return self.text(what)
        found: Value = self.number(self._letter(kind, what), what)
        return found

    def _array(self, what: str) -> Value:
        kind: int = self.number("I", what)
        if kind == _STRING:
            return [self.text(what) for _ in range(self.count(f"strings of {what}", SHORTEST_STRING))]
        dtype = np.dtype(f"<{self._letter(kind, what)}")
        count = self.count(f"elements of {what}", dtype.itemsize)
        return np.frombuffer(self.take(count * dtype.itemsize, what), dtype).copy()

    def _letter(self, kind: int, what: str) -> str:
        if kind not in _NUMBERS:
            raise self.error(f"{what} is of type {kind}, which graphdl does not read")
        return _NUMBERS[kind]
