"""What an exported program looks like from C: names, sizes, arrays, and one block of memory for all parameters."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

import numpy as np

from graphdl.errors import BackendError
from graphdl.kernel.expression import Buffer
from graphdl.record import record
from graphdl.types import TensorType

from ..codegen.registers import itemsize
from ..target import Target

ALIGNMENT = 64  # bytes: of the arena, and of every parameter in the block
BAD_SIZE = -1  # a negative size
BROKEN_EQUALITY = -2  # and below: equalities of sizes, in order

# C's name of an element. Half precision has no type in C99: it travels as bits.
C_TYPES = {
    "bool": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t", "uint8": "uint8_t", "uint16": "uint16_t",
    "uint32": "uint32_t", "uint64": "uint64_t", "float16": "uint16_t", "bfloat16": "uint16_t", "float32": "float", "float64": "double",
}  # fmt: skip
KEYWORDS = {
    "alignas", "alignof", "and", "asm", "auto", "bool", "break", "case", "catch", "char", "class", "const", "constexpr", "continue", "default", "delete",
    "do", "double", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if", "inline", "int", "long", "main",
    "mutable", "namespace", "new", "not", "operator", "or", "private", "protected", "public", "register", "restrict", "return", "short", "signed",
    "sizeof", "static", "struct", "switch", "template", "this", "throw", "true", "try", "typedef", "typeid", "typename", "union", "unsigned", "using",
    "virtual", "void", "volatile", "while", "xor",
}  # fmt: skip
RESERVED = ("arena", "parameters", "status", "threads")  # arguments of every program
MACROS = ("h", "alignment", "arena_bytes", "parameters_bytes")  # what a parameter's macro may not be called
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@record
class Argument:
    """An input or output: its name in C and in the graph."""

    name: str
    declared: str
    type: TensorType


@record
class Slot:
    """A parameter in the block, `offset` bytes from its start."""

    name: str
    buffer: Buffer
    offset: int

    @property
    def type(self) -> TensorType:
        return self.buffer.type

    @property
    def data(self) -> bytes:
        """The parameter's present value, little-endian, in C order."""
        return bytes_of(self.buffer)


@record
class Interface:
    """All that the header says. `sizes` pairs a symbolic size with its name in C; `arena` is None where it depends on them."""

    name: str
    target: Target
    sizes: tuple[tuple[str, str], ...]
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    block: tuple[Slot, ...]
    updated: frozenset[Buffer]
    arena: int | None
    baked: bool
    threads: bool
    sites: tuple[str, ...] = ()
    equalities: tuple[str, ...] = ()

    @property
    def block_bytes(self) -> int:
        """The size of the block, a multiple of its alignment."""
        return _aligned(max((slot.offset + len(slot.data) for slot in self.block), default=0))

    @property
    def takes_parameters(self) -> bool:
        return bool(self.block) and not self.baked

    @property
    def messages(self) -> dict[int, str]:
        """What every status other than 0 means."""
        broken = {BROKEN_EQUALITY - position: text for position, text in enumerate(self.equalities)}
        return {**{position + 1: text for position, text in enumerate(self.sites)}, BAD_SIZE: "a size is negative", **broken}

    def block_image(self) -> bytes:
        """The block as it is before the first call: what the file of parameters holds."""
        image = bytearray(self.block_bytes)
        for slot in self.block:
            image[slot.offset : slot.offset + len(slot.data)] = slot.data
        return bytes(image)


def bytes_of(buffer: Buffer) -> bytes:
    """The value of a parameter or constant, little-endian, in C order."""
    array = np.ascontiguousarray(buffer.source.value)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def lay_out(parameters: Iterable[Buffer]) -> tuple[Slot, ...]:
    """One slot after the other, each aligned."""
    parameters = list(parameters)
    names = c_names([buffer.name for buffer in parameters], MACROS)
    slots, place = [], 0
    for name, buffer in zip(names, parameters, strict=True):
        slots.append(Slot(name, buffer, place))
        size = buffer.type.size
        if not isinstance(size, int):
            raise BackendError(f"parameter {buffer.name!r} has a symbolic size and cannot be exported")
        place = _aligned(place + size * itemsize(buffer.type.dtype))
    return tuple(slots)


def checked_name(name: str) -> str:
    """`name`, if it can begin the names of C functions and macros. Raises BackendError."""
    if not _IDENTIFIER.fullmatch(name) or name in KEYWORDS:
        raise BackendError(f"name={name!r} must be a C identifier that is no keyword and begins with a letter")
    return name


def c_names(declared: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """A C identifier for each name, unlike in more than case: `0.weight` is `p_0_weight`; what clashes gets a number."""
    used = {*KEYWORDS, *taken}
    names = []
    for text in declared:
        stem = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_")
        name = stem = stem if stem[:1].isalpha() else f"p_{stem}"
        numbered = (f"{stem}_{number}" for number in itertools.count(2))
        while name.lower() in used:
            name = next(numbered)
        used.add(name.lower())
        names.append(name)
    return names


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
