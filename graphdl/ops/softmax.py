"""Softmax, log-softmax and log-sum-exp in the stable form, with the maximum taken out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import TypeRuleError
from ..formula import Call, Formula
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Expr, Index, apply, fresh_axis, reduce
from ..op import Access, Array, Op, Sample, function, normalize_axes, normalize_axis, sample_array
from ..record import record
from ..sizes import as_size
from ..types import TensorType, is_floating
from .reduction import Axes, Reduction, Sum
from .select import stop_gradient


class AlongAxis(Op):
    """The base: same shape out as in, with sums along one axis."""

    pattern: ClassVar[str] = "row"
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if not is_floating(x.dtype):
            raise TypeRuleError(f"{self.name} is not defined for {x.dtype}")
        return x

    def stretch(self, reduced: Tensor) -> Tensor:
        return reduced.sum(axis=self.axis, keepdims=True)

    def terms(self, index: Index, x: Access) -> tuple[Expr, Expr, Expr]:
        """x at `index`, the maximum along the axis, and the sum of exponentials less the maximum."""
        size = x.type.shape[self.axis]  # type: ignore[attr-defined]
        over = [fresh_axis(size), fresh_axis(size)]
        moved = [(*index[: self.axis], as_size(axis), *index[self.axis + 1 :]) for axis in over]
        highest = _finite(reduce("max", (over[0],), x(moved[0])))
        total = reduce("sum", (over[1],), apply("exp", x(moved[1]) - highest))
        return x(index), highest, total

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(1), (sample_array(3, 21),))  # type: ignore[call-arg]
        yield Sample(cls(0), (sample_array(5, 4),))  # type: ignore[call-arg]
        yield Sample(cls(1), (sample_array(2, 3, 4, low=-50, high=50),))  # type: ignore[call-arg]
        yield Sample(cls(0), (np.array([1e4, -1e4, 0.0]),), ())  # type: ignore[call-arg]
        yield Sample(cls(1), (sample_array(0, 4),))  # type: ignore[call-arg]


def _finite(highest: Expr) -> Expr:
    """A row of only -inf has no finite maximum: then nothing is taken out, as subtracting it would give NaN."""
    return apply("select", apply("equal", highest, float("-inf")), highest.zero(), highest)


@record
class Softmax(AlongAxis):
    """exp(x) / sum exp(x) along an axis."""

    name: ClassVar[str] = "softmax"
    axis: int

    def evaluate(self, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            shifted = np.exp(operands[0] - np.max(operands[0], axis=self.axis, keepdims=True, initial=-np.inf))
            return shifted / shifted.sum(axis=self.axis, keepdims=True)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (output * (cotangent - self.stretch(cotangent * output)),)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else output * (tangents[0] - self.stretch(tangents[0] * output))

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, highest, total = self.terms(index, operands[0])
        return apply("exp", x - highest) * (total.one() / total)  # one division for a row, not one for each element


@record
class LogSoftmax(AlongAxis):
    """x - log sum exp(x) along an axis."""

    name: ClassVar[str] = "log_softmax"
    axis: int

    def evaluate(self, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            shifted = operands[0] - np.max(operands[0], axis=self.axis, keepdims=True, initial=-np.inf)
            return shifted - np.log(np.exp(shifted).sum(axis=self.axis, keepdims=True))

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (cotangent - softmax(operands[0], self.axis) * self.stretch(cotangent),)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else tangents[0] - self.stretch(tangents[0] * softmax(operands[0], self.axis))

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, highest, total = self.terms(index, operands[0])
        return (x - highest) - apply("log", total)


@function
def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis`, without overflow."""
    tensor = as_tensor(x)
    return Softmax(normalize_axis(axis, tensor.ndim))(tensor)


@function
def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """log(softmax(x)) along `axis`, without overflow or a log of zero."""
    tensor = as_tensor(x)
    return LogSoftmax(normalize_axis(axis, tensor.ndim))(tensor)


@record
class LogSumExp(Reduction):
    """log sum exp(x) over axes."""

    name: ClassVar[str] = "logsumexp"
    pattern: ClassVar[str] = "row"
    kinds: ClassVar[str] = "f"
    axes: tuple[int, ...]

    def evaluate(self, *operands: Array) -> Array:
        x = operands[0]
        with np.errstate(all="ignore"):
            highest = np.max(x, axis=self.axes, keepdims=True, initial=-np.inf)
            highest = np.where(highest == -np.inf, 0, highest)
            total = np.exp(x - highest).sum(axis=self.axes)
            return (np.log(total) + np.reshape(highest, total.shape)).astype(x.dtype)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        (x,) = operands
        return (self.spread(cotangent, x) * (x - self.spread(output, x)).exp(),)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return Call("log", (Sum(self.axes).formula(node, Call("exp", operands)),))

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        shape = operands[0].type.shape  # type: ignore[attr-defined]
        first, whole = self.split(index, shape)
        highest = _finite(reduce("max", first, operands[0](whole)))
        second, again = self.split(index, shape)
        return apply("log", reduce("sum", second, apply("exp", operands[0](again) - highest))) + highest


@function
def logsumexp(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over `axis`, without overflow."""
    tensor = as_tensor(x)
    axes = normalize_axes(axis, tensor.ndim)
    result = LogSumExp(axes)(tensor)
    return result.reshape([1 if k in axes else size for k, size in enumerate(tensor.shape)]) if keepdims else result


__all__ = ["Op", "log_softmax", "logsumexp", "softmax", "stop_gradient"]
