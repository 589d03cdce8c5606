"""Linked code as bytes, and as memory of this process.

An image runs wherever it lies: what it refers to inside itself it finds from where it stands. A few words hold addresses; those are
written when it is mapped. So programs from the cache need no linker, and LLVM is not even loaded for them.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import struct
from collections.abc import Mapping
from typing import Any

from graphdl.errors import BackendError
from graphdl.record import record

MAGIC = b"graphdl image 1\n"
PAGE = mmap.PAGESIZE
_WORD = struct.Struct("<q")
_LENGTH = struct.Struct("<Q")
_EXECUTABLE = mmap.PROT_READ | mmap.PROT_EXEC


@record
class Image:
    """From `writable` on, a multiple of pages, `content` may be written.

    `exported` are the places of functions and globals, `bases` those of words to which the image's address is added, and `imported` those of
    words that hold the address of something else, by its name.
    """

    content: bytes
    writable: int
    exported: Mapping[str, int]
    bases: tuple[int, ...]
    imported: Mapping[str, tuple[int, ...]]

    def to_bytes(self) -> bytes:
        facts = {"writable": self.writable, "exported": dict(self.exported), "bases": self.bases, "imported": dict(self.imported)}
        head = json.dumps(facts).encode()
        return b"".join([MAGIC, _LENGTH.pack(len(head)), head, self.content])

    @staticmethod
    def is_image(data: bytes) -> bool:
        return data.startswith(MAGIC)

    @staticmethod
    def from_bytes(data: bytes) -> Image:
        """Raises BackendError where a place lies outside."""
        try:
            begin = len(MAGIC) + _LENGTH.size
            (length,) = _LENGTH.unpack_from(data, len(MAGIC))
            facts = json.loads(data[begin : begin + length])
            imported = {name: tuple(places) for name, places in facts["imported"].items()}
            found = Image(data[begin + length :], facts["writable"], facts["exported"], tuple(facts["bases"]), imported)
            if not found._is_sound():
                raise ValueError("a place lies outside of it")
        except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BackendError(f"cannot load the image: {error}") from None
        return found

    def _is_sound(self) -> bool:
        words = [*self.bases, *(place for places in self.imported.values() for place in places)]
        places: list[Any] = [self.writable, *self.exported.values(), *(word + _WORD.size for word in words)]
        return self.writable % PAGE == 0 and min(words, default=0) >= 0 and all(type(place) is int and 0 <= place <= len(self.content) for place in places)


class MappedImage:
    """An image in memory of its own, which is freed with this object."""

    def __init__(self, image: Image, symbols: Mapping[str, int]) -> None:
        self._image = image
        self._memory = mmap.mmap(-1, max(len(image.content), 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory[: len(image.content)] = image.content
        self._begin = ctypes.c_char.from_buffer(self._memory)  # holds the memory
        self._address = ctypes.addressof(self._begin)
        self._write_addresses(symbols)
        if image.writable:
            _protect(self._address, image.writable)

    def address(self, symbol: str) -> int:
        """Raises BackendError for what is not exported."""
        if symbol not in self._image.exported:
            raise BackendError(f"cannot resolve `{symbol}`: the code has nothing of that name")
        return self._address + self._image.exported[symbol]

    def _write_addresses(self, symbols: Mapping[str, int]) -> None:
        for place in self._image.bases:
            self._add(place, self._address)
        for name, places in self._image.imported.items():
            found = symbols[name] if name in symbols else _process_symbol(name)
            for place in places:
                self._add(place, found)

    def _add(self, place: int, address: int) -> None:
        (before,) = _WORD.unpack_from(self._memory, place)
        _WORD.pack_into(self._memory, place, before + address)


def _process_symbol(name: str) -> int:
    """The address of a function of this process. Raises BackendError."""
    try:
        return ctypes.cast(ctypes.CDLL(None)[name], ctypes.c_void_p).value or 0
    except AttributeError:
        raise BackendError(f"cannot resolve `{name}`: the process has nothing of that name") from None


def _protect(address: int, size: int) -> None:
    """Let a part of memory be executed and no longer be written. Raises BackendError where the system refuses."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(address, size, _EXECUTABLE):
        raise BackendError(f"the system gives no memory for code: {os.strerror(ctypes.get_errno())}")
