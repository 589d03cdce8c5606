"""Element types of ONNX tensors by graphdl's names."""

from __future__ import annotations

from ..errors import FormatError

# The numbers of TensorProto.DataType, which the format fixes.
_NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 12: "uint32",
    13: "uint64", 16: "bfloat16",
}  # fmt: skip
_NUMBERS = {name: number for number, name in _NAMES.items()}
_FOREIGN = {
    0: "undefined", 8: "string", 14: "complex64", 15: "complex128", 17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz",
    21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0", 25: "uint2", 26: "int2",
}  # fmt: skip


def element_name(number: int) -> str:
    """The dtype of a TensorProto.DataType. Raises FormatError for those that graphdl does not hold."""
    if number not in _NAMES:
        raise FormatError(f"element type {_FOREIGN.get(number, number)} is not one of {', '.join(_NAMES.values())}")
    return _NAMES[number]


def element_number(name: str) -> int:
    """The TensorProto.DataType of a dtype."""
    return _NUMBERS[name]
