"""The bits of numbers, read as another dtype of the same width."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from ..errors import TypeRuleError
from ..ir import Tensor, as_tensor
from ..kernel.expression import Expr, bitcast
from ..op import Array, Sample, function, sample_array
from ..record import record
from ..types import TensorType, dtype_name, numpy_dtype
from .elementwise import Elementwise


@record
class View(Elementwise):
    """Every element's bits as an element of `dtype`. It has no derivative."""

    name: ClassVar[str] = "view"
    kinds: ClassVar[str] = "fi"
    dtype: str

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if "bool" in (x.dtype, self.dtype) or numpy_dtype(x.dtype).itemsize != numpy_dtype(self.dtype).itemsize:
            raise TypeRuleError(f"the bits of {x.dtype} are no {self.dtype}: both must be numbers of one width")
        return x.with_dtype(self.dtype)

    def expression(self, *x: Expr) -> Expr:
        return bitcast(x[0], self.dtype)

    def evaluate(self, *operands: Array) -> Array:
        return np.ascontiguousarray(operands[0]).view(numpy_dtype(self.dtype)).reshape(operands[0].shape)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls("int32"), (sample_array(3, 5, dtype="float32"),), differentiable=())
        yield Sample(cls("float64"), (sample_array(7).view("int64"),), differentiable=())
        yield Sample(cls("uint8"), (sample_array(4, dtype="int8"),), differentiable=())
        yield Sample(cls("uint16"), (sample_array(0, dtype="int16"),), differentiable=())
        yield Sample(cls("uint32"), (sample_array(dtype="float32"),), differentiable=())


@function
def view(x: Any, dtype: Any) -> Tensor:
    """The bits of x's elements as numbers of `dtype`, which has the same width. Raises TypeRuleError otherwise, and for bools."""
    tensor, to = as_tensor(x), dtype_name(dtype)
    return tensor if tensor.dtype == to else View(to)(tensor)
