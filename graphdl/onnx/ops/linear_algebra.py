"""Determinants."""

from __future__ import annotations

from ...errors import ShapeError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.indexing import take_along_axis
from ...ops.select import where
from ...ops.shape import broadcast_to, reshape
from ...ops.source import full
from ...sizes import product
from ..registry import Call, translates

LARGEST = 32  # rows: the elimination is written out


@translates("Det")
def _det(call: Call, x: Tensor) -> Tensor:
    """By Gaussian elimination with the largest pivot of each column: Golub, Van Loan, "Matrix computations", algorithm 3.4.1."""
    size = x.shape[-1]
    if not isinstance(size, int) or size > LARGEST:
        raise ShapeError(f"needs matrices of at most {LARGEST} rows, got {x.type}")
    rest = reshape(x, (product(x.shape[:-2]), size, size))
    found = full((rest.shape[0],), 1, x.dtype)
    for left in range(size, 0, -1):
        chosen = abs(rest[:, :, 0]).argmax(axis=1)
        row = take_along_axis(rest, broadcast_to(reshape(chosen, (-1, 1, 1)), (rest.shape[0], 1, left)), 1)
        is_chosen = reshape(FUNCTIONS["arange"](left), (1, left)) == reshape(chosen, (-1, 1))
        swapped = where(reshape(is_chosen, (-1, left, 1)), rest[:, :1, :], rest)
        pivot = row[:, 0, 0]
        found = found * where(chosen == 0, pivot, -pivot)
        safe = where(pivot == 0, 1.0, pivot)
        below = swapped[:, 1:, :]
        rest = below[:, :, 1:] - below[:, :, :1] * row[:, :, 1:] / reshape(safe, (-1, 1, 1))
    return reshape(found, x.shape[:-2])
