"""A compiled program as bytes: objects, and what must be known to run them. It lies in the cache and in program files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, TypeGuard

from graphdl.errors import FormatError
from graphdl.record import record
from graphdl.types import DTYPES, numpy_dtype

_LENGTH = struct.Struct("<Q")
MAX_BLOBS = 1 << 20
MAX_FACTS = 1 << 28  # bytes
MAX_SETTLED = 1 << 40  # bytes


@record
class Bundle:
    """`facts` is plain JSON; `blobs` are the objects, then the arrays of constants."""

    facts: dict[str, Any]
    blobs: tuple[bytes, ...]

    @property
    def objects(self) -> tuple[bytes, ...]:
        """The object files."""
        return self.blobs[: self.facts["objects"]]

    @property
    def constants(self) -> tuple[bytes, ...]:
        """The constants' elements in C order."""
        return self.blobs[self.facts["objects"] :]

    def to_bytes(self) -> bytes:
        head = json.dumps({**self.facts, "sizes": [len(blob) for blob in self.blobs]}).encode()
        return b"".join([_LENGTH.pack(len(head)), head, *self.blobs])

    @staticmethod
    def from_bytes(data: bytes) -> Bundle:
        """Raises FormatError when the lengths do not add up or the facts do not fit together."""
        facts, place = _facts_of(data)
        sizes = facts.pop("sizes", None)
        if not _is_list(sizes, _is_count) or len(sizes) > MAX_BLOBS or place + sum(sizes) != len(data):
            raise FormatError("not a compiled program: its parts do not add up")
        blobs = []
        for size in sizes:
            blobs.append(data[place : place + size])
            place += size
        if not _fits(facts, blobs):
            raise FormatError("not a compiled program: its facts do not fit together")
        return Bundle(facts, tuple(blobs))

    @staticmethod
    def found(data: bytes | None) -> Bundle | None:
        """The same for what a cache may hold: None where that is nothing, or not sound."""
        try:
            return None if data is None else Bundle.from_bytes(data)
        except FormatError:
            return None


def _facts_of(data: bytes) -> tuple[dict[str, Any], int]:
    """The facts, and where the blobs begin."""
    if len(data) < _LENGTH.size:
        raise FormatError("not a compiled program: it is too short")
    (length,) = _LENGTH.unpack_from(data)
    if length > min(MAX_FACTS, len(data) - _LENGTH.size):
        raise FormatError("not a compiled program: its parts do not add up")
    try:
        facts = json.loads(data[_LENGTH.size : _LENGTH.size + length])
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a compiled program: {error}") from None
    if not isinstance(facts, dict):
        raise FormatError("not a compiled program: its facts are no object")
    return facts, _LENGTH.size + length


def _fits(facts: dict[str, Any], blobs: list[bytes]) -> bool:
    objects, static, outputs, derived, sites, reserve = [facts.get(key) for key in ("objects", "static", "outputs", "derived", "sites", "reserve")]
    if not _is_count(objects) or not _is_count(derived) or not _is_count(reserve) or objects > len(blobs) or derived > MAX_BLOBS:
        return False
    constants = blobs[objects:]
    return (
        _is_list(static, lambda entry: _is_memory(entry, constants))
        and _is_list(outputs, lambda entry: _is_output(entry, derived))
        and _is_list(sites, lambda site: isinstance(site, str))
    )


def _is_memory(entry: Any, constants: list[bytes]) -> bool:
    """["parameter", place], ["settled", bytes], or ["constant", place, dtype, shape] of as many bytes as there are."""
    if not isinstance(entry, list) or len(entry) < 2 or not _is_count(entry[1]):
        return False
    if len(entry) == 2:
        return entry[0] == "parameter" or (entry[0] == "settled" and entry[1] < MAX_SETTLED)
    group, place, dtype, shape, *rest = *entry, None
    if group != "constant" or rest != [None] or place >= len(constants) or dtype not in DTYPES or not _is_list(shape, _is_count):
        return False
    size = numpy_dtype(dtype).itemsize
    for extent in shape:
        size *= extent
    return size == len(constants[place])


def _is_output(entry: Any, derived: int) -> bool:
    """[name, dtype, shape], where a size is a number, a name, or [a slot] of the derived ones."""
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    name, dtype, shape = entry
    return isinstance(name, str) and dtype in DTYPES and _is_list(shape, lambda size: isinstance(size, str) or _is_count(size) or _is_slot(size, derived))


def _is_slot(size: Any, derived: int) -> bool:
    return isinstance(size, list) and len(size) == 1 and _is_count(size[0]) and size[0] < derived


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list(value: Any, holds: Callable[[Any], bool]) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and all(map(holds, value))
