"""From object files for x86-64 to one image that runs wherever it lies.

Code and constants come first; then, from a page of their own on, what may be written: data, and the table of addresses through which code
reaches what lies elsewhere. Relocations are those of the System V ABI for AMD64, table 4.9.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from graphdl.errors import BackendError

from .elf import ObjectFile, Relocation, Symbol, read_object
from .image import PAGE, Image

MOST = 1 << 28  # bytes of an image: thousands of times what a network takes
_ABSOLUTE, _RELATIVE, _CALL = 1, 2, 4  # S + A in 64 bits; S + A - P in 32; the same for a function, which may be far away
_THROUGH_TABLE = (9, 41, 42)  # where the table of addresses holds S, + A - P in 32 bits
_JUMP = struct.Struct("<2si2x")  # jmp through a word at some distance from the next instruction
_JUMP_CODE, _JUMP_LENGTH = b"\xff\x25", 6
_WORD = struct.Struct("<q")
_DISTANCE = struct.Struct("<i")

Target = int | str  # a place in the image, or the name of something elsewhere


def link(objects: Sequence[bytes]) -> Image:
    """One image of all. Raises BackendError for damaged objects, names defined twice, and what code of this kind does not refer to."""
    linker = _Linker([read_object(data) for data in objects])
    try:
        return linker.image()
    except (struct.error, ArithmeticError, IndexError) as error:
        raise BackendError(f"cannot link the objects: {error}") from None


class _Linker:
    """Where everything lies, and then what is written there."""

    def __init__(self, objects: Sequence[ObjectFile]) -> None:
        self.objects = objects
        self.content = bytearray()
        self.places: dict[tuple[int, int], int] = {}  # of sections, by object and number
        self.jumps: dict[str, int] = {}  # to functions elsewhere
        self.table: dict[Target, int] = {}
        self.bases: list[int] = []
        self.imported: dict[str, list[int]] = {}

    def image(self) -> Image:
        self._lay_out(writable=False)
        self.jumps = {name: self._reserve(_JUMP.size, _JUMP.size) for name in self._foreign_calls()}
        writable = self._reserve(0, PAGE)
        self._lay_out(writable=True)
        self.exported = self._find_exported()
        for name, place in self.jumps.items():
            _JUMP.pack_into(self.content, place, _JUMP_CODE, self._entry(name) - place - _JUMP_LENGTH)
        for owner, one in enumerate(self.objects):
            for relocation in one.relocations:
                self._relocate(owner, relocation)
        return Image(bytes(self.content), writable, self.exported, tuple(self.bases), {name: tuple(places) for name, places in self.imported.items()})

    def _reserve(self, size: int, alignment: int) -> int:
        """The place of so many zeros."""
        place = len(self.content) + -len(self.content) % alignment
        if place + size > MOST:
            raise BackendError(f"cannot link the objects: they take more than {MOST >> 20} MiB")
        self.content.extend(bytes(place + size - len(self.content)))
        return place

    def _lay_out(self, *, writable: bool) -> None:
        for owner, one in enumerate(self.objects):
            for number, section in one.sections.items():
                if section.is_writable == writable:
                    place = self.places[owner, number] = self._reserve(section.size, section.alignment)
                    self.content[place : place + len(section.data)] = section.data

    def _foreign_calls(self) -> list[str]:
        defined = {symbol.name for one in self.objects for symbol in one.symbols if symbol.is_global and symbol.section}
        called = dict.fromkeys(relocation.symbol.name for one in self.objects for relocation in one.relocations if relocation.type == _CALL)
        return [name for name in called if name and name not in defined]

    def _find_exported(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for owner, one in enumerate(self.objects):
            for symbol in one.symbols:
                if not symbol.is_global or not symbol.section:
                    continue
                if symbol.name in found:
                    raise BackendError(f"cannot link the objects: `{symbol.name}` is defined twice")
                found[symbol.name] = self._place_of(owner, symbol)
        return found

    def _place_of(self, owner: int, symbol: Symbol) -> int:
        section = self.places.get((owner, symbol.section))
        if section is None:
            raise BackendError(f"cannot link the objects: `{symbol.name}` lies in no section that is loaded")
        return section + symbol.value

    def _target(self, owner: int, symbol: Symbol) -> Target:
        return self._place_of(owner, symbol) if symbol.section else self.exported.get(symbol.name, symbol.name)

    def _relocate(self, owner: int, relocation: Relocation) -> None:
        place = self.places[owner, relocation.section] + relocation.place
        target = self._target(owner, relocation.symbol)
        if relocation.type == _ABSOLUTE:
            self._write_address(place, target, relocation.addend)
            return
        reached = self._reached(relocation.type, target)
        _DISTANCE.pack_into(self.content, place, reached + relocation.addend - place)

    def _reached(self, type: int, target: Target) -> int:
        """The place in the image to which a distance leads."""
        if type in _THROUGH_TABLE:
            return self._entry(target)
        if type in (_RELATIVE, _CALL) and isinstance(target, int):
            return target
        if type == _CALL and isinstance(target, str):
            return self.jumps[target]
        raise BackendError(f"cannot link the objects: a relocation of type {type} to {target!r}")

    def _entry(self, target: Target) -> int:
        """The place of the word in the table that holds an address."""
        if target not in self.table:
            self.table[target] = self._reserve(_WORD.size, _WORD.size)
            self._write_address(self.table[target], target, 0)
        return self.table[target]

    def _write_address(self, place: int, target: Target, addend: int) -> None:
        """All that is known of an address before it is known where the image lies."""
        if isinstance(target, str):
            self.imported.setdefault(target, []).append(place)
            _WORD.pack_into(self.content, place, addend)
            return
        self.bases.append(place)
        _WORD.pack_into(self.content, place, target + addend)
