"""Where the memory of arrays begins.

NumPy begins large arrays 16 bytes behind the begin of a page, so that vectors cross lines of the cache, and a parameter and its moments,
which an optimiser reads side by side, meet in the same sets of the first-level cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: a cache line
PAGE = 4096  # bytes; addresses that far apart share a set of the first-level cache

Array = np.ndarray[Any, Any]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def aligned_empty(size: int) -> Bytes:
    """So many bytes at a multiple of 64 bytes."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    return memory[-memory.ctypes.data % ALIGNMENT :][:size]


def aligned_copy(data: Bytes) -> Bytes:
    """The same bytes at a multiple of 64 bytes, in memory of their own."""
    found = aligned_empty(data.size)
    found[:] = data
    return found


def placed_zeros(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """Zeros that begin at a page; what is smaller than one, or no numbers, begins anywhere. The memory is not touched before it is used."""
    if prod(shape) * dtype.itemsize < PAGE or dtype.hasobject:
        return np.zeros(shape, dtype)
    (found,) = zeros_together([(shape, dtype, 0.0)])
    return found


def placed_copy(array: Any) -> Array:
    """A copy of `array` in rows that begins at a page, if it is no smaller than one."""
    given = np.asarray(array)
    copy = placed_zeros(given.shape, given.dtype)
    copy[...] = given
    return copy


def zeros_together(wanted: Sequence[tuple[Sequence[int], np.dtype[Any], float]]) -> list[Array]:
    """Arrays of zeros of these shapes and dtypes, one after the other in one stretch: each at a cache line, and at that part, in [0, 1), of a
    page if it is no smaller than one.

    For arrays that are freed together. A large stretch comes in large pages when it is first touched: 26 MB of Adam's moments cost a
    thousand page faults and 2 ms, where arrays of their own took ten thousand and 10 to 16 ms.
    """
    begins, end = [], 0
    sizes = [prod(shape) * dtype.itemsize for shape, dtype, _ in wanted]
    for (*_, part), size in zip(wanted, sizes, strict=True):
        begins.append(end + (int(part * PAGE) // ALIGNMENT * ALIGNMENT - end) % (PAGE if size >= PAGE else ALIGNMENT))
        end = begins[-1] + size
    memory = np.zeros(end + PAGE, np.uint8)
    memory = memory[-memory.ctypes.data % PAGE :]
    places = zip(wanted, begins, sizes, strict=True)
    return [memory[begin : begin + size].view(dtype).reshape(tuple(shape)) for (shape, dtype, _), begin, size in places]
