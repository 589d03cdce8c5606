"""Arrays by name in a safetensors file: a JSON header and raw little-endian data, nothing that could run.

Format: https://github.com/huggingface/safetensors. The library checks the header, its bounds and overlaps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import FormatError, TypeRuleError
from ..ir import Tensor
from ..types import dtype_name, numpy_dtype

Array = np.ndarray[Any, Any]

# The format's names of dtypes.
_DTYPES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip


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


def load(target: Stateful, path: str | os.PathLike[str], strict: bool = True) -> None:
    """Read a safetensors file into a module (or an optimiser) by name.

    Raises FormatError for a damaged file, StateError that lists every entry that does not fit; nothing is changed then.
    With `strict=False`, missing and unexpected entries of a module are let pass.
    """
    arrays, _ = read(path)
    if strict:
        target.load_state_dict(arrays)
    else:
        target.load_state_dict(arrays, strict=False)  # type: ignore[call-arg]


def write(arrays: Mapping[str, Any], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays (or parameters) and text by name into a safetensors file, whole or not at all."""
    from safetensors.numpy import save as serialise

    held = {name: _storable(name, value) for name, value in arrays.items()}
    replace_file(path, serialise(held, metadata=dict(metadata or {})))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the text of a safetensors file. Raises FormatError for a damaged or foreign file."""
    from safetensors import SafetensorError, deserialize

    data = Path(path).read_bytes()
    try:
        entries = deserialize(data)  # type: ignore[no-untyped-call]
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError) as error:
        raise FormatError(f"{os.fspath(path)} is no intact safetensors file: {error}") from None
    arrays = {name: _array(os.fspath(path), name, entry) for name, entry in entries}
    return arrays, dict(header.get("__metadata__") or {})


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


def _array(path: str, name: str, entry: Mapping[str, Any]) -> Array:
    if entry["dtype"] not in _DTYPES:
        raise FormatError(f"{path}: {name} has dtype {entry['dtype']}, which graphdl does not hold")
    flat = np.frombuffer(entry["data"], numpy_dtype(_DTYPES[entry["dtype"]]).newbyteorder("<"))
    return flat.reshape(entry["shape"]).astype(numpy_dtype(_DTYPES[entry["dtype"]]))


def _storable(name: str, value: Any) -> Array:
    array = np.asarray(value.value if isinstance(value, Tensor) else value)
    try:
        dtype_name(array.dtype)
    except TypeRuleError as error:
        raise TypeRuleError(f"{name} cannot be saved: {error}") from None
    return np.ascontiguousarray(array).reshape(array.shape)
