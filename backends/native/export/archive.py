"""Static libraries of one object file, as linkers read them, without a tool.

The format is System V's with GNU's symbol table, which linkers for ELF, COFF and WebAssembly take; Apple's linker wants BSD's
(ar(5) of FreeBSD; ranlib(5)).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

MAGIC = b"!<arch>\n"
HEADER = 60  # bytes before the data of a member
INDEX = "__.SYMDEF"


def write_archive(name: str, data: bytes, symbols: Sequence[str], *, apple: bool = False) -> bytes:
    """A library that holds the object file `data` as `name` and says that it defines `symbols`."""
    return _apple(name, data, symbols) if apple else _gnu(name, data, symbols)


def _gnu(name: str, data: bytes, symbols: Sequence[str]) -> bytes:
    """The symbol table is a first member without a name; a name of over 15 characters lies in a member of its own."""
    names = b"".join(symbol.encode() + b"\0" for symbol in symbols)
    long_names = _member("//", f"{name}/\n".encode()) if len(name) > 15 else b""
    length = 4 + 4 * len(symbols) + len(names)
    place = len(MAGIC) + HEADER + length + length % 2 + len(long_names)
    table = struct.pack(f">{len(symbols) + 1}I", len(symbols), *[place] * len(symbols)) + names
    return MAGIC + _member("/", table) + long_names + _member("/0" if long_names else f"{name}/", data)


def _apple(name: str, data: bytes, symbols: Sequence[str]) -> bytes:
    """The symbol table lists (start of the name, place of the member); names of members lie before their data."""
    names = b"".join(f"_{symbol}".encode() + b"\0" for symbol in symbols)
    starts = [names.index(f"_{symbol}\0".encode()) for symbol in symbols]
    names += b"\0" * (-len(names) % 8)
    place = len(MAGIC) + len(_apple_member(INDEX, b"\0" * (8 + 8 * len(symbols) + len(names))))
    rows = b"".join(struct.pack("<II", start, place) for start in starts)
    table = struct.pack("<I", len(rows)) + rows + struct.pack("<I", len(names)) + names
    return MAGIC + _apple_member(INDEX, table) + _apple_member(name, data)


def _apple_member(name: str, data: bytes) -> bytes:
    """Padded so that all data begins at multiples of 8."""
    held = name.encode()
    held += b"\0" * ((-len(MAGIC) - HEADER - len(held)) % 8)
    data += b"\0" * (-len(data) % 8)
    return _member(f"#1/{len(held)}", held + data)


def _member(name: str, data: bytes) -> bytes:
    """No times, owners or permissions of this machine: equal programs make equal libraries."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(data):<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)
