"""Arrays of parameters one after the other, each at a multiple of 64 bytes, so that programs use them where they lie in a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import FormatError
from ..memory import ALIGNMENT, Bytes
from ..types import numpy_dtype

Array = np.ndarray[Any, Any]
Entry = list[Any]  # a dtype and a shape


def write_arrays(arrays: Sequence[Array]) -> bytes:
    """All arrays, little-endian and in C order."""
    return b"".join(map(_padded, arrays))


def read_arrays(entries: Sequence[Entry], memory: Bytes) -> tuple[Array, ...]:
    """The arrays where they lie. Raises FormatError where sizes do not add up."""
    found: list[Array] = []
    place = 0
    for dtype, shape in entries:
        kind = numpy_dtype(dtype).newbyteorder("<")
        size = kind.itemsize
        for extent in shape:
            size *= extent
        if place + size > memory.size:
            raise FormatError("its parameters are larger than what it holds of them")
        found.append(memory[place : place + size].view(kind).reshape(shape).astype(numpy_dtype(dtype), copy=False))
        place += size + -size % ALIGNMENT
    if place != memory.size:
        raise FormatError("its parameters are smaller than what it holds of them")
    return tuple(found)


def _padded(array: Array) -> bytes:
    data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return data + bytes(-len(data) % ALIGNMENT)
