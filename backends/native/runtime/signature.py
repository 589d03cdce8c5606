"""What a compiled program takes and gives, for those who call it from Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from graphdl.errors import BackendError
from graphdl.record import record

Array = np.ndarray[Any, Any]


@record(slots=True)
class Derived:
    """A size that the program computes from the sizes of its inputs: slot `index` of what its `shapes` function fills."""

    index: int


Size = int | str | Derived


@record(slots=True)
class ArraySpec:
    """One input or output. A string is a size known at the call; the same name is the same size everywhere."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[Size, ...]


def _raise_status(status: int) -> NoReturn:
    raise BackendError(f"the program failed with status {status}")


@record
class Signature:
    """The native functions of a program, and its arrays.

    `entry` is `i64 (ptr pointers, ptr sizes, i64 threads)`. `pointers` holds the addresses of the inputs, the outputs, `static`
    (parameters, constants, the thread pool) and last the arena, 64-byte aligned. Inputs are C-contiguous and aligned to their elements
    only, outputs to 16 bytes, large ones to 64. `sizes` (i64) holds the named sizes in the order of `size_names`, then the derived ones.
    `shapes`, needed if there are derived sizes or conditions on sizes, is `i64 (ptr sizes, ptr derived)`; `arena_bytes` is
    `i64 (ptr sizes)`. `entry` and `shapes` return 0, or a status for which `failed` raises; addresses of 0 mean no such function.

    An `exclusive` program writes its parameters: one call at a time. `release_gil` lets other Python threads run meanwhile.
    `gather` makes arrays that fit of what a call was given, by position and by name, or says what is wrong with it.
    With `unpack`, the result of a single output is that array and not a tuple of one. `owners` are kept alive.
    """

    entry: int
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    gather: Callable[[tuple[object, ...], dict[str, object]], Sequence[Array]]
    static: tuple[int, ...] = ()
    shapes: int = 0
    arena_bytes: int = 0
    derived: int = 0
    threads: int = 1
    unpack: bool = True
    exclusive: bool = False
    release_gil: bool = True
    failed: Callable[[int], object] = _raise_status
    owners: tuple[object, ...] = field(default=(), repr=False)

    @cached_property
    def size_names(self) -> tuple[str, ...]:
        """The named sizes, in the order in which the inputs mention them first."""
        return tuple(dict.fromkeys(size for spec in self.inputs for size in spec.shape if isinstance(size, str)))

    @cached_property
    def slots(self) -> int:
        """The length of the table of pointers."""
        return len(self.inputs) + len(self.outputs) + len(self.static) + 1

    def size_slot(self, size: str | Derived) -> int:
        """The index of a size in the table of sizes. Raises BackendError if no input determines it."""
        if isinstance(size, Derived):
            return len(self.size_names) + size.index
        if size not in self.size_names:
            raise BackendError(f"no input determines the size {size!r}")
        return self.size_names.index(size)

    def output_shape(self, spec: ArraySpec, sizes: Sequence[int] | ctypes.Array[ctypes.c_int64]) -> tuple[int, ...]:
        """The shape of an output, given the filled table of sizes."""
        return tuple(size if isinstance(size, int) else sizes[self.size_slot(size)] for size in spec.shape)
