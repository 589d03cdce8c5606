"""Memory for arrays that live together."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: a cache line

Array = np.ndarray[Any, Any]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def aligned_empty(size: int) -> Bytes:
    """So many bytes at a multiple of 64 bytes."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    return _aligned(memory)[:size]


def aligned_copy(data: Bytes) -> Bytes:
    """The same bytes at a multiple of 64 bytes, in memory of their own."""
    found = aligned_empty(data.size)
    found[:] = data
    return found


def zeros_together(wanted: Sequence[tuple[Sequence[int], np.dtype[Any]]]) -> list[Array]:
    """Arrays of zeros of these shapes and dtypes, one after the other in one stretch, each at a multiple of 64 bytes.

    For arrays that are freed together. A large stretch comes in large pages when it is first touched: 26 MB of Adam's moments cost a
    thousand page faults and 2 ms, where arrays of their own took ten thousand and 10 to 16 ms.
    """
    sizes = [prod(shape) * dtype.itemsize for shape, dtype in wanted]
    memory = _aligned(np.zeros(sum(map(_padded, sizes)) + ALIGNMENT, np.uint8))
    found, place = [], 0
    for (shape, dtype), size in zip(wanted, sizes, strict=True):
        found.append(memory[place : place + size].view(dtype).reshape(tuple(shape)))
        place += _padded(size)
    return found


def _padded(size: int) -> int:
    return size + -size % ALIGNMENT


def _aligned(memory: Bytes) -> Bytes:
    return memory[-memory.ctypes.data % ALIGNMENT :]
