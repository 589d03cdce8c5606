"""A compiled program as bytes: objects, and what must be known to run them. Written to the cache under the declared graph."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from graphdl.errors import FormatError

_LENGTH = struct.Struct("<Q")
MAX_BLOBS = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """`facts` is plain JSON; `blobs` are the objects, then the arrays of constants."""

    facts: dict[str, Any]
    blobs: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        head = json.dumps({**self.facts, "sizes": [len(blob) for blob in self.blobs]}).encode()
        return b"".join([_LENGTH.pack(len(head)), head, *self.blobs])

    @staticmethod
    def from_bytes(data: bytes) -> Bundle:
        """Raises FormatError when the lengths do not add up or the facts are no JSON object."""
        try:
            (length,) = _LENGTH.unpack_from(data)
            facts = json.loads(data[_LENGTH.size : _LENGTH.size + length])
            sizes = facts.pop("sizes")
        except (struct.error, ValueError, KeyError, AttributeError) as error:
            raise FormatError(f"not a compiled program: {error}") from None
        if not isinstance(sizes, list) or len(sizes) > MAX_BLOBS or not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise FormatError("not a compiled program: bad sizes")
        place = _LENGTH.size + length
        if place + sum(sizes) != len(data):
            raise FormatError("not a compiled program: its parts do not add up")
        blobs = []
        for size in sizes:
            blobs.append(data[place : place + size])
            place += size
        return Bundle(facts, tuple(blobs))
