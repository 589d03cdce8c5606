"""Where the memory of a model's state begins.

NumPy begins large arrays 16 bytes behind the begin of a page, so that vectors cross lines of the cache, and a parameter and its moments,
which an optimiser reads side by side, meet in the same sets of the first-level cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

PAGE = 4096  # bytes; addresses that far apart share a set of the first-level cache
LINE = 64

Array = np.ndarray[Any, Any]


def placed_zeros(shape: Sequence[int], dtype: np.dtype[Any], part: float = 0.0) -> Array:
    """Zeros that begin at `part` (in [0, 1)) of a page, at a line of the cache. The memory is not touched before it is used.

    What is smaller than a page, or no numbers, begins anywhere.
    """
    size = prod(shape) * dtype.itemsize
    if size < PAGE or dtype.hasobject:
        return np.zeros(shape, dtype)
    memory = np.zeros(size + 2 * PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE + int(part * PAGE) // LINE * LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def placed_copy(array: Any) -> Array:
    """A copy of `array` in rows that begins at a page, if it is no smaller than one."""
    given = np.asarray(array)
    copy = placed_zeros(given.shape, given.dtype)
    copy[...] = given
    return copy
