"""What object files say of themselves: their format, their processor, and the names they define and want."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectFile:
    """`machine` is the format's number of the processor; `defined` and `undefined` are what other objects may see, and what must be found in them."""

    format: str
    machine: int
    defined: frozenset[str]
    undefined: frozenset[str]


Symbol = tuple[str, bool]  # a name, and whether it is defined here


def read_object(code: bytes) -> ObjectFile:
    """Read ELF and Mach-O of 64 bits, COFF, and WebAssembly."""
    if code.startswith(b"\x7fELF\x02\x01"):
        return _object("elf", struct.unpack_from("<H", code, 18)[0], _elf_symbols(code))
    if code.startswith(b"\xcf\xfa\xed\xfe"):
        return _object("mach-o", struct.unpack_from("<I", code, 4)[0], _mach_symbols(code))
    if code.startswith(b"\0asm\1\0\0\0"):
        return _object("wasm", 0, _wasm_symbols(code))
    return _object("coff", struct.unpack_from("<H", code)[0], _coff_symbols(code))


def _object(format: str, machine: int, symbols: Iterator[Symbol]) -> ObjectFile:
    listed = list(symbols)
    return ObjectFile(format, machine, frozenset(name for name, here in listed if here), frozenset(name for name, here in listed if not here))


def _text(code: bytes, start: int) -> str:
    return code[start : code.index(b"\0", start)].decode()


def _elf_symbols(code: bytes) -> Iterator[Symbol]:
    """System V ABI, "Symbol Table": only global and weak names matter to others."""
    place, size, count = struct.unpack_from("<Q10xHH", code, 40)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, place + size * k) for k in range(count)]
    (table,) = (section for section in sections if section[1] == 2)
    strings = sections[table[6]][4]
    for k in range(1, table[5] // 24):
        name, info, _, section, _, _ = struct.unpack_from("<IBBHQQ", code, table[4] + 24 * k)
        if info >> 4:
            yield _text(code, strings + name), section != 0


def _mach_symbols(code: bytes) -> Iterator[Symbol]:
    """Mach-O's command 2 is the symbol table; C's names begin with an underscore."""
    commands = struct.unpack_from("<I", code, 16)[0]
    place = 32
    for _ in range(commands):
        kind, size = struct.unpack_from("<II", code, place)
        if kind == 2:
            table, count, strings, _ = struct.unpack_from("<IIII", code, place + 8)
            rows = [struct.unpack_from("<IBBHQ", code, table + 16 * k) for k in range(count)]
            yield from ((_text(code, strings + row[0]).removeprefix("_"), row[1] & 0xE != 0) for row in rows if row[1] & 1)
        place += size


def _coff_symbols(code: bytes) -> Iterator[Symbol]:
    """Microsoft's PE format, "COFF symbol table": storage class 2 is external."""
    table, count = struct.unpack_from("<II", code, 8)
    strings, k = table + 18 * count, 0
    while k < count:
        name, _, section, _, storage, more = struct.unpack_from("<8sIhHBB", code, table + 18 * k)
        long = struct.unpack("<II", name)
        if storage == 2:
            yield (_text(code, strings + long[1]) if long[0] == 0 else name.rstrip(b"\0").decode()), section != 0
        k += 1 + more


def _wasm_symbols(code: bytes) -> Iterator[Symbol]:
    """Functions that are imported, and those that the section "linking" of object files names as defined and visible to others."""
    module = io.BytesIO(code[8:])
    while section := module.read(1):
        body = io.BytesIO(module.read(_leb128(module)))
        if section == b"\2":
            yield from ((name, False) for name in _wasm_imports(body))
        if section == b"\0" and body.read(_leb128(body)) == b"linking":
            yield from ((name, True) for name in _wasm_definitions(body))


def _wasm_imports(body: io.BytesIO) -> Iterator[str]:
    for _ in range(_leb128(body)):
        _, name = (body.read(_leb128(body)) for _ in range(2))
        (kind,) = body.read(1)
        for _ in range((1, 3, 2, 2)[kind]):
            _leb128(body)
        if kind == 0:
            yield name.decode()


def _wasm_definitions(body: io.BytesIO) -> Iterator[str]:
    """WebAssembly's tool conventions, "Linking": subsection 8 is the symbol table."""
    assert _leb128(body) == 2
    while kind := body.read(1):
        table = io.BytesIO(body.read(_leb128(body)))
        for _ in range(_leb128(table) if kind == b"\x08" else 0):
            yield from _wasm_symbol(table)


def _wasm_symbol(table: io.BytesIO) -> Iterator[str]:
    (kind,) = table.read(1)
    flags = _leb128(table)
    if kind == 3:  # a section
        _leb128(table)
        return
    is_here, is_local, is_hidden = not flags & 0x10, flags & 3 == 2, bool(flags & 4)
    if kind != 1:
        _leb128(table)
    name = table.read(_leb128(table)).decode() if is_here or flags & 0x40 or kind == 1 else ""
    if kind == 1 and is_here:
        for _ in range(3):
            _leb128(table)
    if kind == 0 and is_here and not is_local and not is_hidden:
        yield name


def _leb128(file: io.BytesIO) -> int:
    """An unsigned number of WebAssembly's."""
    (byte,) = file.read(1)
    return byte if byte < 128 else byte - 128 + 128 * _leb128(file)
