"""Cross entropy of logits with integer classes: one row in, one number out, and the gradient everyone knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from ..constraints import unify
from ..errors import IndexOutOfRangeError, TypeRuleError
from ..ir import Tensor
from ..kernel.expression import Expr, Index, apply, cast, index_value, loaded_index
from ..op import Access, Array, Sample, sample_array
from ..record import record
from ..types import TensorType, is_floating, is_integer
from .diagonal import one_hot
from .shape import expand_dims
from .softmax import AlongAxis, softmax


@record
class CrossEntropy(AlongAxis):
    """log sum exp(x) - x[target] along the last of two axes: the negative log-likelihood of each row's class.

    A row whose target is `ignored` gives 0. Any other target outside [0, classes) is an error; a negative one too,
    as a class does not count from the end.
    """

    name: ClassVar[str] = "cross_entropy"
    axis: ClassVar[int] = 1  # type: ignore[misc]
    ignored: int | None = None

    def infer(self, *operands: TensorType) -> TensorType:
        x, target = operands
        if x.rank != 2 or target.rank != 1 or not is_floating(x.dtype) or not is_integer(target.dtype):
            raise TypeRuleError(f"needs floating logits (rows, classes) and integer targets (rows,), got {x} and {target}")
        unify(x.shape[0], target.shape[0], f"the rows of {x} and of {target}")
        return x.with_shape(x.shape[:1])

    def evaluate(self, *operands: Array) -> Array:
        x, target = operands
        counted = np.ones(target.shape, bool) if self.ignored is None else target != self.ignored
        wrong = counted & ((target < 0) | (target >= x.shape[1]))
        if wrong.any():
            raise IndexOutOfRangeError(f"cross_entropy: target {target[wrong][0]} is not a class: there are {x.shape[1]}")
        with np.errstate(all="ignore"):
            shifted = x - np.max(x, axis=1, keepdims=True, initial=-np.inf)
            chosen = np.take_along_axis(shifted, np.where(counted, target, 0)[:, None].astype("int64"), axis=1)[:, 0] if x.size else x.sum(1)
            return np.where(counted, np.log(np.exp(shifted).sum(axis=1)) - chosen, 0).astype(x.dtype)

    def slope(self, x: Tensor, target: Tensor) -> Tensor:
        """softmax(x) - onehot(target), zero in ignored rows."""
        difference = softmax(x, 1) - one_hot(target, x.shape[1], x.dtype)
        return difference if self.ignored is None else expand_dims((target != self.ignored).astype(x.dtype), 1) * difference

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return expand_dims(cotangent, 1) * self.slope(*operands), None

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else (tangents[0] * self.slope(*operands)).sum(axis=1)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, target = operands
        size = x.type.shape[1]  # type: ignore[attr-defined]
        label = cast(target(index), "int64")
        used = label if self.ignored is None else apply("select", apply("equal", label, self.ignored), label.zero(), label)
        inside = apply("select", apply("less", used, 0), index_value(size), used)  # past the end, where loading reports it
        chosen, highest, total = self.terms((*index, loaded_index(inside, size)), x)
        loss = (highest - chosen) + apply("log", total)
        return loss if self.ignored is None else apply("select", apply("equal", label, self.ignored), loss.zero(), loss)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(), (sample_array(5, 3), np.array([0, 2, 1, 2, 0])), (0,))
        yield Sample(cls(), (sample_array(2, 21, low=-60, high=60), np.array([20, 0], "int32")), (0,))
        yield Sample(cls(-100), (sample_array(4, 3), np.array([-100, 2, 1, -100])), (0,))
        yield Sample(cls(), (sample_array(0, 4), np.zeros(0, "int64")), (0,))
