"""Matrices by the place of their elements: one_hot, diag, tril, triu."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..ir import Tensor, as_tensor
from ..op import function
from ..sizes import Dim, maximum, minimum
from ..types import as_dim
from .einsum import einsum
from .elementwise import describe
from .indexing import index_tensor
from .pad import Pad
from .shape import broadcast_to, expand_dims
from .slicing import Slice
from .source import Iota, full


@function
def one_hot(indices: Any, classes: Dim | str, dtype: Any = "float32") -> Tensor:
    """1 at each index along a new last axis of size `classes`, else 0; a row of zeros for an index outside it."""
    at, size = index_tensor(indices), as_dim(classes)
    shape = (*at.shape, size)
    hot: Tensor = broadcast_to(expand_dims(at.astype("int64"), -1), shape) == Iota(shape, len(shape) - 1, "int64")()
    return hot.astype(dtype)


@function
def diag(x: Any, k: int = 0) -> Tensor:
    """The diagonal `k` above the main one of a matrix, or the square matrix that has the vector x there, as NumPy's `diag`."""
    tensor = as_tensor(x)
    above, below = max(k, 0), max(-k, 0)
    if tensor.ndim == 2:
        count = minimum(maximum(tensor.shape[0] - below, 0), maximum(tensor.shape[1] - above, 0))
        return einsum("ii->i", Slice((below, above), (count, count), (1, 1))(tensor))
    if tensor.ndim != 1:
        raise ShapeError(f"diag: needs a vector or a matrix, not {describe(tensor)}")
    lengthened = Pad((below,), (above,), 0.0)(tensor)
    size = lengthened.shape[0]
    square = broadcast_to(expand_dims(lengthened, 1), (size, size))
    return (_above(square) == k).where(square, full(square.shape, 0, square.dtype))


@function
def tril(x: Any, k: int = 0) -> Tensor:
    """x with zeros above the diagonal `k` of its last two axes."""
    tensor = _matrices(x, "tril")
    return (_above(tensor) <= k).where(tensor, full(tensor.shape, 0, tensor.dtype))


@function
def triu(x: Any, k: int = 0) -> Tensor:
    """x with zeros below the diagonal `k` of its last two axes."""
    tensor = _matrices(x, "triu")
    return (_above(tensor) >= k).where(tensor, full(tensor.shape, 0, tensor.dtype))


def _above(x: Tensor) -> Tensor:
    """How far each element of the last two axes lies above the main diagonal."""
    return Iota(x.shape, x.ndim - 1, "int64")() - Iota(x.shape, x.ndim - 2, "int64")()


def _matrices(x: Any, name: str) -> Tensor:
    tensor = as_tensor(x)
    if tensor.ndim < 2:
        raise ShapeError(f"{name}: needs at least two axes, not {describe(tensor)}")
    return tensor
