"""Matrices whose weights stay packed in memory, such as quantised ones: unpacked inside the products that read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ir import Tensor
from ..ops.einsum import einsum
from ..ops.elementwise import describe
from ..ops.indexing import CheckedIndex, take, take_along_axis
from ..ops.shape import broadcast_to, expand_dims, reshape
from ..sizes import Dim, product
from .buffer import make_buffer
from .module import Module
from .rounding import BlockRounding, rounded_blocks

PANEL = 64  # rows side by side: what a product reads goes along memory, and fills the lanes of any processor

Array = np.ndarray[Any, Any]
Unpack = Callable[[Mapping[str, Tensor]], Tensor]


class PackedMatrix(Module):
    """A matrix (rows, columns) held as planes of small numbers, from which `unpack` computes its elements.

    A plane is given as an array (rows, *axes): all planes have as many axes, of size 1 where a number holds for all along
    it, and together they run over the columns in order. They are held as (panels, *axes, PANEL), and `unpack` gets tensors
    of this form by their names. The last panel is filled up with zeros. Weights in this form are not trained.

    Products take activations as they are, or rounded to 8 bits in blocks if there is a `rounding`.
    """

    def __init__(self, rows: int, columns: int, planes: Mapping[str, Array], unpack: Unpack, rounding: BlockRounding | None = None) -> None:
        self.rows, self.columns, self.unpack, self.rounding = rows, columns, unpack, rounding
        self.names = tuple(planes)
        for name, plane in planes.items():
            setattr(self, name, make_buffer(_panels(plane), name))
        self.axes = self.values().shape[1:-1]
        if product(self.axes) != columns:
            raise ShapeError(f"PackedMatrix: planes over axes {self.axes} do not make {columns} columns")

    @property
    def planes(self) -> dict[str, Tensor]:
        """The planes by name, as parameters."""
        return {name: getattr(self, name) for name in self.names}

    def values(self) -> Tensor:
        """The matrix, unpacked: float32 (panels, *axes, PANEL)."""
        return self.unpack(self.planes)

    def forward(self, x: Tensor) -> Tensor:
        """x Wᵀ for x (..., columns): shape (..., rows). Raises ShapeError."""
        if x.ndim == 0 or x.shape[-1] != self.columns:
            raise ShapeError(f"PackedMatrix: {describe(x)} needs {self.columns} features on its last axis")
        flat = reshape(x, (product(x.shape[:-1]), self.columns))
        found = self._product(flat, self.values()) if self.rounding is None else self._rounded_product(flat, self.rounding)
        whole: Tensor = reshape(found, (*x.shape[:-1], found.shape[1] * PANEL))
        return whole if whole.shape[-1] == self.rows else whole[..., : self.rows]

    def _product(self, x: Tensor, values: Tensor) -> Tensor:
        """x (N, columns) times unpacked rows: (N, panels, PANEL)."""
        letters = "abcdefgh"[: len(self.axes)]
        return einsum(f"m{letters},p{letters}r->mpr", reshape(x, (x.shape[0], *self.axes)), values)

    def _rounded_product(self, x: Tensor, rounding: BlockRounding) -> Tensor:
        """The same for x rounded in blocks; a block's minimum multiplies the block's sum."""
        rounded, sums = rounded_blocks(x, rounding.elements)
        found = self._product(rounded, rounding.scaled(self.planes))
        if not rounding.minimum:
            return found
        minimum = self.planes[rounding.minimum]
        spread = reshape(minimum, (minimum.shape[0], sums.shape[1], PANEL)).astype("float32")
        return found + einsum("mb,pbr->mpr", sums, spread)

    def take(self, indices: Tensor) -> Tensor:
        """The rows at integer `indices` (...): float32 (..., columns). An index out of range is an error of the call."""
        flat = CheckedIndex(self.rows)(reshape(indices, (indices.size,)))
        found = self.unpack({name: _rows(plane, flat) for name, plane in self.planes.items()})
        return reshape(broadcast_to(found, (indices.size, *self.axes, 1)), (*indices.shape, self.columns))

    def extra_repr(self) -> str:
        return f"rows={self.rows}, columns={self.columns}, " + ", ".join(f"{name}={plane.dtype}" for name, plane in self.planes.items())


class PackedLinear(Module):
    """y = x Wᵀ with the `rows` (first, end) of a packed matrix, all unless given.

    Several layers may share one matrix: those that read one input then share one product.
    """

    def __init__(self, weight: PackedMatrix, rows: tuple[int, int] | None = None) -> None:
        self.weight = weight
        self.rows = (0, weight.rows) if rows is None else rows

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.weight(input)
        first, end = self.rows
        return result if end - first == self.weight.rows else result[..., first:end]

    def extra_repr(self) -> str:
        return f"rows={self.rows}"


class PackedEmbedding(Module):
    """A row of a packed matrix for every index."""

    def __init__(self, weight: PackedMatrix) -> None:
        self.weight = weight

    def forward(self, input: Tensor) -> Tensor:
        return self.weight.take(input)


def _panels(plane: Array) -> Array:
    """(rows, *axes) as (panels, *axes, PANEL)."""
    rows = -(-len(plane) // PANEL) * PANEL
    filled = plane if rows == len(plane) else np.concatenate([plane, np.zeros((rows - len(plane), *plane.shape[1:]), plane.dtype)])
    return np.ascontiguousarray(np.moveaxis(filled.reshape(-1, PANEL, *plane.shape[1:]), 1, -1))


def _rows(plane: Tensor, indices: Tensor) -> Tensor:
    """The rows of a plane (panels, *axes, PANEL) at indices (n,): (n, *axes, 1)."""
    panels = take(plane, indices // PANEL, 0)
    within = indices % PANEL
    spread: tuple[Dim, ...] = (within.shape[0], *panels.shape[1:-1], 1)
    for _ in spread[1:]:
        within = expand_dims(within, -1)
    return take_along_axis(panels, broadcast_to(within, spread), -1)
