"""The header of a safetensors file: where each array lies. Everything in it is checked before anything is taken from the data.

Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..errors import FormatError
from ..record import record
from ..types import numpy_dtype

LENGTH_BYTES = 8  # the header's length stands before it
LARGEST_HEADER = 1 << 25  # bytes: some 300,000 arrays
LARGEST_RANK = 32
LONGEST_NAME = 512
LARGEST_COUNT = 1 << 60  # elements, an axis of size zero left out

# The format's names of dtypes.
DTYPES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip


@record
class Entry:
    """An array: its dtype, its shape and where its bytes begin in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int


class Damage(ValueError):
    """What is wrong with a header."""


def parse_header(data: Any, path: str) -> tuple[dict[str, Entry], dict[str, str]]:
    """The arrays and the text that the file's bytes `data` hold. Raises FormatError that names `path` for anything unfit."""
    try:
        length = int.from_bytes(data[:LENGTH_BYTES], "little")
        if len(data) < LENGTH_BYTES or length > min(len(data) - LENGTH_BYTES, LARGEST_HEADER):
            raise Damage(f"its header would have {length} bytes")
        header = json.loads(bytes(data[LENGTH_BYTES : LENGTH_BYTES + length]), object_pairs_hook=_distinct)
        return _checked(header, LENGTH_BYTES + length, len(data))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no intact safetensors file: {error}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Damage("a name stands twice in its header")
    return found


def _checked(header: Any, start: int, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    if not isinstance(header, dict):
        raise Damage("its header is no JSON object")
    text = header.pop("__metadata__", None) or {}
    if not isinstance(text, dict) or not all(isinstance(value, str) for value in text.values()):
        raise Damage("its metadata is no mapping of text to text")
    if long := [name for name in header if len(name) > LONGEST_NAME]:
        raise Damage(f"the name {long[0][:40]}... has {len(long[0])} letters")
    spans = {name: _span(name, fields) for name, fields in header.items()}
    end = 0
    for name, (begin, stop) in sorted(spans.items(), key=lambda item: item[1]):
        if begin != end:
            raise Damage(f"{name} begins at byte {begin} of the data, where {end} is next")
        end = stop
    if start + end != size:
        raise Damage(f"its arrays end at byte {start + end}, the file at {size}")
    return {name: _entry(name, fields, start) for name, fields in header.items()}, text


def _span(name: str, fields: Any) -> tuple[int, int]:
    span = fields.get("data_offsets") if isinstance(fields, dict) else None
    if not isinstance(span, list) or len(span) != 2 or not all(_is_size(value) for value in span) or span[0] > span[1]:
        raise Damage(f"{name} has no two offsets")
    return span[0], span[1]


def _entry(name: str, fields: Mapping[str, Any], start: int) -> Entry:
    dtype, shape, (begin, stop) = fields.get("dtype"), fields.get("shape"), fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise Damage(f"{name} has dtype {dtype!r}, which graphdl does not hold")
    if not isinstance(shape, list) or len(shape) > LARGEST_RANK or not all(_is_size(size) for size in shape):
        raise Damage(f"{name} has no shape")
    if math.prod(size or 1 for size in shape) > LARGEST_COUNT:
        raise Damage(f"{name} has the shape {shape}, which is too large")
    needed = math.prod(shape) * numpy_dtype(DTYPES[dtype]).itemsize
    if needed != stop - begin:
        raise Damage(f"{name} is {dtype}{shape}, that is {needed} bytes, but has {stop - begin}")
    return Entry(DTYPES[dtype], tuple(shape), start + begin)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_COUNT
