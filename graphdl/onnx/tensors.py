"""Arrays of TensorProtos, inside the file or beside it: sizes, offsets and paths are checked before anything is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..errors import FormatError
from ..types import numpy_dtype
from .elements import element_name

Array = np.ndarray[Any, Any]
EXTERNAL = onnx.TensorProto.EXTERNAL
_PACKED = {"float16": "uint16", "bfloat16": "uint16"}  # 16-bit floats lie as bits in int32_data


def read_tensor(proto: onnx.TensorProto, folder: Path | None) -> Array:
    """The array of a TensorProto; `folder` is where its external data may lie. Raises FormatError for whatever does not fit."""
    dtype, shape = element_name(proto.data_type), tuple(proto.dims)
    if any(size < 0 for size in shape):
        raise FormatError(f"tensor {proto.name!r} has the shape {shape}")
    count, item = math.prod(shape), numpy_dtype(dtype)
    if proto.data_location == EXTERNAL:
        data = _external(proto, folder, count * item.itemsize)
    elif proto.HasField("raw_data"):
        data = proto.raw_data
    else:
        return _typed(proto, dtype, count).reshape(shape)
    if len(data) != count * item.itemsize:
        raise FormatError(f"tensor {proto.name!r} is {dtype}{list(shape)}, that is {count * item.itemsize} bytes, but holds {len(data)}")
    return np.frombuffer(data, item.newbyteorder("<")).astype(item, copy=False).reshape(shape)


def _typed(proto: onnx.TensorProto, dtype: str, count: int) -> Array:
    fields = {"float32": proto.float_data, "float64": proto.double_data, "int64": proto.int64_data, "uint32": proto.uint64_data, "uint64": proto.uint64_data}
    values: Any = fields.get(dtype, proto.int32_data)
    if len(values) != count:
        raise FormatError(f"tensor {proto.name!r} has {count} elements, but lists {len(values)}")
    if dtype in _PACKED:
        return np.array(values, "int32").astype(_PACKED[dtype]).view(numpy_dtype(dtype))
    return np.array(values, "int64" if dtype not in fields else dtype).astype(numpy_dtype(dtype))


def _external(proto: onnx.TensorProto, folder: Path | None, length: int) -> bytes:
    """The bytes of a tensor that lies in a file of its own, inside of `folder`."""
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise FormatError(f"tensor {proto.name!r} lies in the file {location!r}: load the model by its path, so that its folder is known")
    root = folder.resolve()
    path = (root / location).resolve()
    if not location or Path(location).is_absolute() or not path.is_relative_to(root):
        raise FormatError(f"tensor {proto.name!r} lies in {location!r}, which is outside of the model's folder")
    offset, stated = _number(proto, entries, "offset", 0), _number(proto, entries, "length", length)
    if not path.is_file() or stated != length or offset + length > path.stat().st_size:
        raise FormatError(f"tensor {proto.name!r} needs {length} bytes at {offset} of {location!r}, which does not have them")
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _number(proto: onnx.TensorProto, entries: dict[str, str], key: str, otherwise: int) -> int:
    text = entries.get(key, str(otherwise))
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FormatError(f"tensor {proto.name!r} has the {key} {text!r}")
    return int(text)
