"""GGUF files: metadata and tensors in blocks of quantised weights, mapped into memory.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. Every count, size and offset
is checked against the file's length before anything is allocated. Reading a header takes at most 16 times its bytes, for
strings are Python's, and tensors take nothing before they are asked for.
"""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..record import record
from .blocks import BlockFormat, format_of
from .cursor import Cursor, Value

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32  # unless the file says otherwise
LARGEST_ALIGNMENT = 1 << 20
AXES = 4
LEAST_ENTRY = 8 + 4 + 1  # bytes of a metadata entry: the key's length, the type, the value
LEAST_TENSOR = 8 + 4 + 8 + 4 + 8  # and of a tensor's: the name's length, the number of axes, one of them, the type, the offset

Array = np.ndarray[Any, Any]


@record(slots=True)
class TensorEntry:
    """A tensor of the file. `shape` is in NumPy's order: the last axis is contiguous and holds whole blocks."""

    name: str
    shape: tuple[int, ...]
    format: BlockFormat
    offset: int  # bytes from the start of the file

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) // self.format.elements * self.format.layout.itemsize


class GgufFile:
    """An open GGUF file: `metadata` by key and `tensors` by name. Raises FormatError for what is damaged, foreign or beyond its bounds."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._data = _mapped(Path(path), self.path)
        cursor = Cursor(self._data, self.path)
        tensors, entries = _counts(cursor)
        self.metadata = _metadata(cursor, entries)
        self.tensors = _tensors(cursor, tensors, self._alignment())

    def _alignment(self) -> int:
        found = self.metadata.get("general.alignment", ALIGNMENT)
        if type(found) is not int or not 8 <= found <= LARGEST_ALIGNMENT or found & (found - 1):
            raise FormatError(f"{self.path}: an alignment of {found} is no power of two from 8 to {LARGEST_ALIGNMENT}")
        return found

    def blocks(self, name: str) -> Array:
        """A tensor's blocks where they lie in the file: structured elements (..., blocks), read-only. Raises KeyError."""
        entry = self.tensors[name]
        raw = self._data[entry.offset : entry.offset + entry.size]
        return np.frombuffer(raw, entry.format.layout).reshape(*entry.shape[:-1], entry.shape[-1] // entry.format.elements)


def _mapped(path: Path, told: str) -> memoryview:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < len(MAGIC):
            raise FormatError(f"{told} is no GGUF file: it has {size} bytes")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _counts(cursor: Cursor) -> tuple[int, int]:
    """How many tensors and metadata entries the header tells of."""
    if cursor.take(len(MAGIC), "the magic number") != MAGIC:
        raise FormatError(f"{cursor.told} is no GGUF file: it does not begin with {MAGIC.decode()}")
    version = cursor.number("I", "the version")
    if version not in VERSIONS:
        hint = "; it is big-endian" if version.to_bytes(4, "little")[0] == 0 else ""
        raise cursor.error(f"version {version} of GGUF is none of those that graphdl reads, {VERSIONS}{hint}")
    return cursor.count("tensors", LEAST_TENSOR), cursor.count("entries of metadata", LEAST_ENTRY)


def _metadata(cursor: Cursor, count: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for _ in range(count):
        key = cursor.text("a key of the metadata")
        if key in found:
            raise cursor.error(f"the metadata has {key} twice")
        found[key] = cursor.value(key)
    return found


def _tensors(cursor: Cursor, count: int, alignment: int) -> dict[str, TensorEntry]:
    entries = [_tensor(cursor) for _ in range(count)]
    start = -(-cursor.place // alignment) * alignment
    placed: dict[str, TensorEntry] = {}
    for entry in entries:
        moved = TensorEntry(entry.name, entry.shape, entry.format, start + entry.offset)
        if entry.name in placed:
            raise cursor.error(f"there are two tensors {entry.name}")
        if entry.offset % alignment or moved.offset + moved.size > len(cursor.data):
            raise cursor.error(f"the {moved.size} bytes of {entry.name} at {moved.offset} are not inside the file of {len(cursor.data)}, or not aligned")
        placed[entry.name] = moved
    return placed


def _tensor(cursor: Cursor) -> TensorEntry:
    """One tensor's entry, its offset counted from where the data begins."""
    name = cursor.text("a tensor's name")
    axes: int = cursor.number("I", f"the axes of {name}")
    if not 1 <= axes <= AXES:
        raise cursor.error(f"{name} has {axes} axes; a tensor has 1 to {AXES}")
    shape = tuple(cursor.number("Q", f"a size of {name}") for _ in range(axes))[::-1]
    kind: int = cursor.number("I", f"the type of {name}")
    found = format_of(kind)
    if found is None:
        raise cursor.error(f"{name} is of type {kind}, whose blocks graphdl does not read")
    if 0 in shape or shape[-1] % found.elements:
        raise cursor.error(f"{name} of shape {shape} is empty, or its rows are no whole blocks of {found.elements} elements, as {found.name} needs")
    return TensorEntry(name, shape, found, cursor.number("Q", f"the offset of {name}"))
