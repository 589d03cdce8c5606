"""Calling a program with every check in Python: the reference for the native stub, and what runs whenever the stub declines.

What it may be called with, and what it says of a wrong call, is the signature's `gather`.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphdl.backends.native.runtime.signature import Array, Signature

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_SHAPES = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
_ARENA_BYTES = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_ALIGNMENT = 64

Exchange = Callable[[int, int], int]
_lock = threading.Lock()


def exchange_in_python(address: int, value: int) -> int:
    """Write an i64 and return what was there; atomic among those who use this function."""
    with _lock:
        cell = ctypes.c_int64.from_address(address)
        before, cell.value = cell.value, value
        return before


class Arena:
    """Scratch memory of one program that only grows, for one call at a time. The native stub sees it through `table`.

    `table` holds: whether a call has claimed it, the address, and the capacity in bytes. Only the claimant reads or writes the latter two.
    """

    def __init__(self, exchange: Exchange = exchange_in_python) -> None:
        self.table = np.zeros(3, np.int64)
        self._flag = self.table.ctypes.data
        self._exchange = exchange
        self._memory = np.empty(0, np.uint8)

    def claim(self, size: int) -> bool:
        """Take it for one call, with room for `size` bytes; False if a call is running."""
        if self._exchange(self._flag, 1):
            return False
        try:
            if size > self.table[2]:
                self._memory, address = allocate(size)
                self.table[1:] = address, size
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        self._exchange(self._flag, 0)


def allocate(size: int) -> tuple[Array, int]:
    """Memory of `size` bytes and its first aligned address; it lives as long as the array."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    return memory, -(-memory.ctypes.data // _ALIGNMENT) * _ALIGNMENT


class CheckedCall:
    """A program as a Python callable. Raises whatever the signature's `gather` and `failed` raise."""

    def __init__(self, signature: Signature, exchange: Exchange = exchange_in_python) -> None:
        self.signature = signature
        self.arena = Arena(exchange)
        self.static = np.array(signature.static, np.int64)
        self.threads = signature.threads
        self._entry = _ENTRY(signature.entry)
        self._shapes = _SHAPES(signature.shapes) if signature.shapes else None
        self._arena_bytes = _ARENA_BYTES(signature.arena_bytes) if signature.arena_bytes else None

    def __call__(self, *args: object, **keywords: object) -> Any:
        signature = self.signature
        inputs = signature.gather(args, keywords)
        sizes = self.sizes_of(inputs)
        outputs = [np.empty(signature.output_shape(spec, sizes), spec.dtype) for spec in signature.outputs]
        status = self._run([*inputs, *outputs], sizes)
        if status:
            return signature.failed(status)
        return outputs[0] if signature.unpack and len(outputs) == 1 else tuple(outputs)

    def sizes_of(self, inputs: Sequence[Array]) -> ctypes.Array[ctypes.c_int64]:
        """The table of sizes for fitting inputs. Raises what `failed` raises where a condition on them does not hold."""
        shapes = [(spec.shape, array.shape) for spec, array in zip(self.signature.inputs, inputs, strict=True)]
        known = {size: found for declared, actual in shapes for size, found in zip(declared, actual, strict=True)}
        names = self.signature.size_names
        sizes = (ctypes.c_int64 * (len(names) + self.signature.derived))(*(known[name] for name in names))
        if self._shapes is not None:
            status = self._shapes(sizes, ctypes.byref(sizes, 8 * len(names)))
            if status:
                self.signature.failed(status)
        return sizes

    def _run(self, arrays: list[Array], sizes: ctypes.Array[ctypes.c_int64]) -> int:
        size = int(self._arena_bytes(sizes)) if self._arena_bytes is not None else 0
        claimed = self.arena.claim(size)
        while self.signature.exclusive and not claimed:
            time.sleep(0.00005)
            claimed = self.arena.claim(size)
        try:
            own, scratch = (None, int(self.arena.table[1])) if claimed else allocate(size)
            addresses = [array.__array_interface__["data"][0] for array in arrays]  # half the time of `array.ctypes.data`
            pointers = (ctypes.c_int64 * self.signature.slots)(*addresses, *self.static.tolist(), scratch)
            status = int(self._entry(pointers, sizes, self.threads))
            del own
            return status
        finally:
            if claimed:
                self.arena.release()
