"""Choice and conversion: where, astype, stop_gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import TypeRuleError
from ..formula import Formula
from ..ir import Node, Tensor, as_tensor
from ..kernel import interpretation
from ..kernel.expression import Expr, apply, cast
from ..op import Array, Op, Sample, function, sample_array
from ..record import record
from ..sizes import Size
from ..types import TensorType, dtype_name, is_floating, numpy_dtype
from .elementwise import Elementwise, align, same_shape
from .source import Full, full, full_value


@record
class Where(Elementwise):
    """The second operand where the first holds, else the third."""

    name: ClassVar[str] = "where"
    function: ClassVar[str] = "select"
    arity: ClassVar[int] = 3

    def expression(self, *x: Expr) -> Expr:
        return apply("select", *x)

    def infer(self, *operands: TensorType) -> TensorType:
        condition, then, otherwise = operands
        if condition.dtype != "bool":
            raise TypeRuleError(f"the condition is {condition.dtype}, not bool: compare it with something")
        if then.dtype != otherwise.dtype:
            raise TypeRuleError(f"the branches have dtypes {then.dtype} and {otherwise.dtype}: cast one of them")
        return TensorType(then.dtype, same_shape(condition, then, otherwise))

    def evaluate(self, *operands: Array) -> Array:
        return np.where(*operands)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        condition = operands[0]
        zero = full(cotangent.shape, 0, cotangent.dtype)
        return None, self(condition, cotangent, zero), self(condition, zero, cotangent)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        zero = full(output.shape, 0, output.dtype)
        _, then, otherwise = (zero if tangent is None else tangent for tangent in tangents)
        return self(operands[0], then, otherwise)

    def canonical(self, *operands: Tensor) -> Tensor | None:
        condition, then, otherwise = operands
        if then is otherwise:
            return then
        known = full_value(condition)
        return None if known is None else then if known else otherwise

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for shape in ((3, 5), (0,), ()):
            yield Sample(cls(), (sample_array(*shape, dtype="bool"), sample_array(*shape, seed=1), sample_array(*shape, seed=2)))


@record
class Cast(Elementwise):
    """Conversion to another dtype. Floating to integer goes towards zero; NaN gives 0, and beyond the range it saturates."""

    name: ClassVar[str] = "cast"
    kinds: ClassVar[str] = "fib"
    converts: ClassVar[bool] = True
    dtype: str

    def expression(self, *x: Expr) -> Expr:
        return cast(x[0], self.dtype)

    def result_dtype(self, dtype: str) -> str:
        return self.dtype

    def evaluate(self, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return interpretation.cast(operands[0], self.dtype)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        if not is_floating(operands[0].dtype) or not is_floating(self.dtype):
            return (None,)
        return (astype(cotangent, operands[0].dtype),)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        (tangent,) = tangents
        return astype(tangent, self.dtype) if tangent is not None and is_floating(self.dtype) else None

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return operands[0]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        x = sample_array(3, 5, low=-100, high=100)
        yield Sample(cls("int32"), (x,))
        yield Sample(cls("float64"), (x.astype("float32"),))
        yield Sample(cls("int8"), (np.array([1e9, -1e9, np.nan, 3.7, -3.7, np.inf]),))
        yield Sample(cls("bool"), (np.array([0.0, 2.0, -0.0]),))
        yield Sample(cls("float64"), (sample_array(4, dtype="int64"),))
        yield Sample(cls("int64"), (sample_array(4, dtype="bool"),))


@record
class StopGradient(Elementwise):
    """The operand itself, with derivative zero."""

    name: ClassVar[str] = "stop_gradient"
    kinds: ClassVar[str] = "fib"

    def expression(self, *x: Expr) -> Expr:
        return x[0]

    def evaluate(self, *operands: Array) -> Array:
        return operands[0]

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return operands[0]

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (None,)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(), (sample_array(3),), differentiable=())


@function
def where(condition: Any, x: Any, y: Any) -> Tensor:
    """x where `condition` holds, else y; all three broadcast."""
    then, otherwise = align(x, y)
    test = as_tensor(condition)
    shape_giver = astype(test, then.dtype) if test.dtype == "bool" else test
    then, otherwise, like = align(then, otherwise, shape_giver)
    return Where()(test.broadcast_to(like.shape), then, otherwise)


@function
def astype(x: Any, dtype: Any) -> Tensor:
    """x converted to another dtype."""
    tensor, to = as_tensor(x), dtype_name(dtype)
    if tensor.dtype == to:
        return tensor
    op = tensor.node.op
    if isinstance(op, Full) and isinstance(op.value, Size):
        return full(tensor.shape, op.value, to)
    if isinstance(op, Full) and not isinstance(op.value, float):
        return full(tensor.shape, interpretation.cast(np.asarray(op.value, numpy_dtype(op.dtype)), to).item(), to)
    return Cast(to)(tensor)


@function
def stop_gradient(x: Any) -> Tensor:
    """x, taken for a constant by differentiation."""
    return StopGradient()(as_tensor(x))


__all__ = ["Cast", "Op", "Where", "astype", "stop_gradient", "where"]
