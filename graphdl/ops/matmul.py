"""Matrix multiplication."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError, TypeRuleError
from ..formula import Formula
from ..formula import matmul as side_by_side
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Expr, Index, fresh_axis, reduce
from ..op import Access, Array, Op, Sample, function, sample_array
from ..record import record
from ..sizes import as_size
from ..types import TensorType, promote
from .elementwise import broadcast_shapes, describe
from .shape import broadcast_to, reshape, swapaxes


@record
class Matmul(Op):
    """sum_k x[..., m, k] y[..., k, n], for operands of one rank with the same leading axes."""

    name: ClassVar[str] = "matmul"
    pattern: ClassVar[str] = "contraction"

    def infer(self, *operands: TensorType) -> TensorType:
        x, y = operands
        if x.rank < 2 or x.rank != y.rank or x.dtype != y.dtype or x.dtype == "bool":
            raise TypeRuleError(f"needs two matrices (or stacks) of one numeric dtype, got {x} and {y}")
        lead = [unify(a, b, f"leading axis {k}") for k, (a, b) in enumerate(zip(x.shape[:-2], y.shape[:-2], strict=True))]
        unify(x.shape[-1], y.shape[-2], f"the columns of {x} and the rows of {y}")
        return x.with_shape([*lead, x.shape[-2], y.shape[-1]])

    def evaluate(self, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.matmul(*operands)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        x, y = operands
        return self(cotangent, swapaxes(y, -1, -2)), self(swapaxes(x, -1, -2), cotangent)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        (dx, dy), (x, y) = tangents, operands
        left = None if dx is None else self(dx, y)
        right = None if dy is None else self(x, dy)
        return left if right is None else right if left is None else left + right

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, y = operands
        axis = fresh_axis(x.type.shape[-1])  # type: ignore[attr-defined]
        k = as_size(axis)
        return reduce("sum", (axis,), x((*index[:-1], k)) * y((*index[:-2], k, index[-1])))

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return side_by_side(*operands)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(), (sample_array(3, 5), sample_array(5, 4, seed=1)))
        yield Sample(cls(), (sample_array(1, 37), sample_array(37, 19, seed=1)))
        yield Sample(cls(), (sample_array(2, 3, 4), sample_array(2, 4, 1, seed=1)))
        yield Sample(cls(), (sample_array(3, 0), sample_array(0, 4)))
        yield Sample(cls(), (sample_array(0, 3), sample_array(3, 4)))
        yield Sample(cls(), (sample_array(3, 5, dtype="int64"), sample_array(5, 4, dtype="int64")))


@function
def matmul(x: Any, y: Any) -> Tensor:
    """NumPy's matrix product: vectors are taken for a row or a column, leading axes broadcast.

    Raises ShapeError when the columns of `x` and the rows of `y` can never agree.
    """
    a, b = as_tensor(x), as_tensor(y)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: needs at least one axis on both sides, got {describe(a)} and {describe(b)}")
    dtype = promote(a.dtype, b.dtype)
    a, b = a.astype(dtype), b.astype(dtype)
    row, column = a.ndim == 1, b.ndim == 1
    a = reshape(a, (1, *a.shape)) if row else a
    b = reshape(b, (*b.shape, 1)) if column else b
    result = _stacked(a, b)
    if column:
        result = reshape(result, result.shape[:-1])
    return reshape(result, (*result.shape[:-2], result.shape[-1]) if not column else result.shape[:-1]) if row else result


def _stacked(a: Tensor, b: Tensor) -> Tensor:
    if b.ndim == 2 and a.ndim > 2:  # one matrix for the whole stack: one tall product
        flat = Matmul()(reshape(a, (-1, a.shape[-1])), b)
        return reshape(flat, (*a.shape[:-1], b.shape[-1]))
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return Matmul()(broadcast_to(a, (*lead, *a.shape[-2:])), broadcast_to(b, (*lead, *b.shape[-2:])))
