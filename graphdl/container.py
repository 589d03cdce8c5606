"""Named parts in one sequence of bytes, each with its hash: how programs lie in files and travel between processes.

    8 bytes   the magic
    8 bytes   L, little-endian
    32 bytes  the SHA-256 of the index
    L bytes   the index, JSON: [[name, length, hash in hexadecimal], ...]
    parts     in the order of the index, each at the next multiple of 64 bytes; between them lie zeros

The hash of a part is the SHA-256 of the SHA-256 of each MiB of it, so that several threads find it. Nothing is taken at its word: lengths must
add up to what is there before anything is read, and every hash is checked. That finds damage; it is no signature, and tells nothing of who wrote
the parts.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import FormatError
from .memory import ALIGNMENT, Bytes
from .threads import for_each

MAGIC = b"graphdl\x03"
MAX_INDEX = 1 << 20  # bytes
PIECE = 1 << 20  # bytes that are hashed at a time
_HEAD = struct.Struct("<8sQ32s")
HEAD = _HEAD.size


def pack_parts(parts: Mapping[str, bytes]) -> bytes:
    """The bytes of all parts, in their order."""
    index = json.dumps([[name, len(data), _hash(memoryview(data))] for name, data in parts.items()]).encode()
    found = [_HEAD.pack(MAGIC, len(index), hashlib.sha256(index).digest()), index]
    place = HEAD + len(index)
    for data in parts.values():
        found += [bytes(-place % ALIGNMENT), data]
        place += -place % ALIGNMENT + len(data)
    return b"".join(found)


def unpack_parts(data: Bytes) -> dict[str, Bytes]:
    """Views of the parts by name. Raises FormatError where anything is not as `pack_parts` writes it."""
    index, place = _index_of(data)
    found: dict[str, Bytes] = {}
    for name, length, digest in index:
        padding = -place % ALIGNMENT
        begin, end = place + padding, place + padding + length
        if name in found or end > data.size or np.any(data[place:begin]):
            raise FormatError("its parts do not add up")
        part = data[begin:end]
        if _hash(part.data) != digest:
            raise FormatError(f"the part {name!r} is damaged: its hash is another")
        found[name] = part
        place = end
    if place != data.size:
        raise FormatError("its parts do not add up")
    return found


def _hash(data: memoryview) -> str:
    """The hash of a part, found by as many threads as there are cores."""
    pieces = [data[begin : begin + PIECE] for begin in range(0, len(data), PIECE)]
    digests = [b""] * len(pieces)

    def find(k: int) -> None:
        digests[k] = hashlib.sha256(pieces[k]).digest()

    for_each(find, range(len(pieces)))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def check_head(head: bytes, size: int) -> tuple[int, bytes]:
    """The length and hash of the index, from the first `HEAD` of `size` bytes. Raises FormatError if they begin no program."""
    if len(head) < HEAD:
        raise FormatError("it is too short")
    magic, length, digest = _HEAD.unpack(head)
    if magic != MAGIC:
        raise FormatError("it does not begin as programs of this version do")
    if length > min(MAX_INDEX, size - HEAD):
        raise FormatError("its index is longer than it may be")
    return length, digest


def _index_of(data: Bytes) -> tuple[list[tuple[str, int, str]], int]:
    """The index, and where it ends."""
    length, digest = check_head(data[:HEAD].tobytes(), data.size)
    text = data[HEAD : HEAD + length].tobytes()
    if hashlib.sha256(text).digest() != digest:
        raise FormatError("its index is damaged: its hash is another")
    rows = read_json(text, "index")
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise FormatError("its index is no list of parts")
    return [(name, size, hexadecimal) for name, size, hexadecimal in rows], HEAD + length


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) and type(row[1]) is int and row[1] >= 0 and isinstance(row[2], str)


def read_json(text: bytes, what: str) -> Any:
    """What JSON says. Raises FormatError where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its {what} is no JSON: {error}") from None
