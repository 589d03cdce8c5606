"""Object files in the format ELF of 64 bits, little-endian, as far as linking needs them (System V ABI, chapters 4 and 5)."""

from __future__ import annotations

import struct

from graphdl.errors import BackendError
from graphdl.record import record

X86_64 = 62
MAGIC = b"\x7fELF\x02\x01"
_SECTIONS = struct.Struct("<Q10xHHH")  # at byte 40 of the file: where the table is, bytes of a row, rows, the row of the names
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")
_PROGRAM, _SYMBOLS, _ADDENDS, _ZEROS = 1, 2, 4, 8  # types of sections
_WRITABLE, _ALLOCATED = 1, 2  # flags of sections


@record(slots=True)
class Section:
    """What goes into memory. `data` is empty where `size` zeros stand."""

    data: bytes
    size: int
    alignment: int
    is_writable: bool


@record(slots=True)
class Symbol:
    """A name for the place `value` of a section; `section` is 0 for what is found elsewhere."""

    name: str
    section: int
    value: int
    is_global: bool


@record(slots=True)
class Relocation:
    """Something to be written at `place` of `section` once it is known where `symbol` lies."""

    section: int
    place: int
    type: int
    symbol: Symbol
    addend: int


@record(slots=True)
class ObjectFile:
    """Sections by their number."""

    sections: dict[int, Section]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]


def is_linkable(data: bytes) -> bool:
    """Whether it is an object file for x86-64."""
    return data.startswith(MAGIC) and data[18:20] == struct.pack("<H", X86_64)


def read_object(data: bytes) -> ObjectFile:
    """Raises BackendError for what is no sound object file."""
    try:
        return _read(data)
    except (struct.error, ArithmeticError, LookupError, ValueError) as error:
        raise BackendError(f"cannot load the object file: {error}") from None


def _read(data: bytes) -> ObjectFile:
    table, length, count, _ = _SECTIONS.unpack_from(data, 40)
    if length != _SECTION.size:
        raise ValueError("rows of another length")
    rows = [_SECTION.unpack_from(data, table + length * k) for k in range(count)]
    sections = {k: _section(data, row) for k, row in enumerate(rows) if row[1] in (_PROGRAM, _ZEROS) and row[2] & _ALLOCATED}
    symbols: list[Symbol] = []
    for row in rows:
        if row[1] == _SYMBOLS:
            symbols = [_symbol(_bytes(data, rows[row[6]]), entry) for entry in _SYMBOL.iter_unpack(_bytes(data, row))]
    found = []
    for row in rows:
        if row[1] == _ADDENDS and row[7] in sections:
            found += [Relocation(row[7], place, type, symbols[symbol], addend) for place, type, symbol, addend in _RELOCATION.iter_unpack(_bytes(data, row))]
    return ObjectFile(sections, tuple(symbols), tuple(found))


def _section(data: bytes, row: tuple[int, ...]) -> Section:
    return Section(_bytes(data, row) if row[1] == _PROGRAM else b"", row[5], max(row[8], 1), bool(row[2] & _WRITABLE))


def _bytes(data: bytes, row: tuple[int, ...]) -> bytes:
    begin, size = row[4], row[5]
    if begin + size > len(data):
        raise ValueError("a section lies outside")
    return data[begin : begin + size]


def _symbol(names: bytes, row: tuple[int, ...]) -> Symbol:
    name, info, _, section, value, _ = row
    return Symbol(names[name : names.index(b"\0", name)].decode(), section, value, info >> 4 != 0)
