"""Tensor types: a dtype by NumPy's name and a shape of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ShapeError, TypeRuleError
from .record import record
from .sizes import Dim, Size, bind, from_sympy, product, symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

FLOATING = ("float16", "bfloat16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *SIGNED, *UNSIGNED, *FLOATING)
Shape = tuple[Dim, ...]


@record(slots=True)
class TensorType:
    """The type of a tensor: `dtype` is one of `DTYPES`, `shape` holds an int or a symbolic size per axis."""

    dtype: str
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return product(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    def with_shape(self, shape: Sequence[Dim]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: str) -> TensorType:
        return TensorType(dtype, self.shape)

    def bind(self, sizes: Mapping[str, int]) -> TensorType:
        return TensorType(self.dtype, tuple(bind(size, sizes) for size in self.shape))


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of that name; bfloat16 comes from ml_dtypes, imported when first asked for."""
    if name == "bfloat16":
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(name)


def dtype_name(dtype: Any) -> str:
    """The canonical name of anything NumPy takes as a dtype. Raises TypeRuleError for dtypes graphdl does not hold."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        name = str(np.dtype(dtype).name)
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise TypeRuleError(f"dtype {name} is not one of {', '.join(DTYPES)}")
    return name


def is_floating(dtype: str) -> bool:
    """Whether a dtype holds fractions."""
    return dtype in FLOATING


def is_integer(dtype: str) -> bool:
    """Whether a dtype is a signed or unsigned integer."""
    return dtype in SIGNED or dtype in UNSIGNED


@cache
def promote(left: str, right: str) -> str:
    """NumPy's promotion of two array dtypes. bfloat16 with float16 or an integer of 16 bits or more gives float32."""
    if left == right:
        return left
    if "bfloat16" in (left, right):
        other = right if left == "bfloat16" else left
        if other in ("bool", "int8", "uint8"):
            return "bfloat16"
        return other if other == "float64" else "float32"
    return str(np.result_type(left, right).name)


@cache
def promote_scalar(dtype: str, kind: type) -> str:
    """The dtype of `array op python_scalar`: the scalar is weak, as in NumPy 2 (NEP 50)."""
    if kind is bool:
        return dtype
    if kind is int:
        return "int64" if dtype == "bool" else dtype
    return dtype if is_floating(dtype) else "float64"


def as_dim(size: Any) -> Dim:
    """A size from an int, a name, a `Size` or a sympy integer expression. Raises ShapeError for anything else."""
    if isinstance(size, Size) or (type(size) is int and size >= 0):
        return size
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
        if size < 0:
            raise ShapeError(f"size {size} is negative")
        return int(size)
    if isinstance(size, str):
        if not size.isidentifier():
            raise ShapeError(f"size name {size!r} is not an identifier")
        return symbol(size)
    if hasattr(size, "free_symbols"):
        return from_sympy(size)
    raise ShapeError(f"{size!r} is not a size: give an int, a name or a symbolic size")


def as_shape(shape: Any) -> Shape:
    """A shape from one size or a sequence of sizes."""
    if isinstance(shape, (list, tuple)):
        return tuple(map(as_dim, shape))
    return (as_dim(shape),)
