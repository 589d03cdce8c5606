"""Arrays by name in a safetensors file: a JSON header and raw little-endian data, nothing that could run.

Format: https://github.com/huggingface/safetensors. Files are mapped into memory and checked by `header`.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import FormatError, TypeRuleError
from ..ir import Tensor
from ..types import dtype_name, numpy_dtype
from .header import Entry, parse_header

Array = np.ndarray[Any, Any]


class Stateful(Protocol):
    """Whatever gives and takes its state by name: modules and optimisers."""

    def state_dict(self) -> Mapping[str, Array]:
        """The arrays by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take arrays by name."""
        ...


def save(source: Stateful | Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a module's state, or a mapping of names to arrays or parameters, into a safetensors file.

    A reader never sees half a file: it is written beside and then put in place. Raises TypeRuleError for dtypes that the
    format does not have.
    """
    write(source if isinstance(source, Mapping) else source.state_dict(), path)


def write(arrays: Mapping[str, Any], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays (or parameters) and text by name into a safetensors file, whole or not at all."""
    from safetensors.numpy import save as serialise

    held = {name: _storable(name, value) for name, value in arrays.items()}
    replace_file(path, serialise(held, metadata=dict(metadata or {})))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the text of a safetensors file. Raises FormatError for a damaged or foreign file.

    Arrays are views of the file mapped into memory, read from the disk when they are first used; what is written into them stays
    in this process. Those that the file does not align are copied. Keep the file as it is while they are in use, or replace it
    as a whole, as `write` does.
    """
    data = _mapped(path)
    entries, text = parse_header(data, os.fspath(path))
    return {name: _array(data, entry) for name, entry in entries.items()}, text


def _mapped(path: str | os.PathLike[str]) -> mmap.mmap:
    with Path(path).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise FormatError(f"{os.fspath(path)} is no intact safetensors file: it is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file beside its place, force it to the disk and put it in place in one step."""
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _array(data: mmap.mmap, entry: Entry) -> Array:
    dtype, count = numpy_dtype(entry.dtype), int(np.prod(entry.shape, dtype=object))
    if not count:
        return np.empty(entry.shape, dtype)
    flat = np.frombuffer(data, dtype.newbyteorder("<"), count, entry.begin)
    return np.require(flat.astype(dtype, copy=False), requirements="A").reshape(entry.shape)


def _storable(name: str, value: Any) -> Array:
    array = np.asarray(value.value if isinstance(value, Tensor) else value)
    try:
        dtype_name(array.dtype)
    except TypeRuleError as error:
        raise TypeRuleError(f"{name} cannot be saved: {error}") from None
    return np.ascontiguousarray(array).reshape(array.shape)
