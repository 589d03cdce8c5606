"""The largest and the smallest element along axes, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import TypeRuleError
from ..ir import Tensor, as_tensor
from ..op import Array, Sample, function, normalize_axis, sample_array
from ..record import record
from ..types import TensorType
from .reduction import Axes, Reduction, reduced_over


class Extremum(Reduction):
    """Shared by max and min: the cotangent goes to the extreme elements, in equal shares."""

    has_identity: ClassVar[bool] = False
    kinds: ClassVar[str] = "fib"

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        (x,) = operands
        chosen = (x == self.spread(output, x)).astype(x.dtype)
        return (self.spread(cotangent / chosen.sum(axis=self.axes), x) * chosen,)

    def canonical(self, *operands: Tensor) -> Tensor | None:
        (x,) = operands
        ones = all(x.shape[axis] == 1 for axis in self.axes)
        return x.reshape(self.infer(x.type).shape) if ones else None


@record
class Max(Extremum):
    """The largest element over axes; NaN if there is one."""

    name: ClassVar[str] = "max"
    kind: ClassVar[str] = "max"
    numpy: ClassVar[Callable[..., Any]] = staticmethod(np.max)
    axes: tuple[int, ...]


@record
class Min(Extremum):
    """The smallest element over axes; NaN if there is one."""

    name: ClassVar[str] = "min"
    kind: ClassVar[str] = "min"
    numpy: ClassVar[Callable[..., Any]] = staticmethod(np.min)
    axes: tuple[int, ...]


class ArgExtremum(Reduction):
    """Shared by argmax and argmin: the first index of the extreme element (or of the first NaN) along one axis, int64."""

    has_identity: ClassVar[bool] = False
    kinds: ClassVar[str] = "fib"

    def infer(self, *operands: TensorType) -> TensorType:
        if len(self.axes) != 1:
            raise TypeRuleError(f"{self.name} goes along one axis, not {len(self.axes)}")
        return super().infer(*operands).with_dtype("int64")

    def evaluate(self, *operands: Array) -> Array:
        return np.asarray(type(self).numpy(operands[0], axis=self.axes[0]), "int64")

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((0,)), (sample_array(5, 3),))  # type: ignore[call-arg]
        yield Sample(cls((1,)), (sample_array(4, 37),))  # type: ignore[call-arg]
        yield Sample(cls((1,)), (np.array([[1.0, 3.0, 3.0], [np.nan, 5.0, np.nan]]),))  # type: ignore[call-arg]
        yield Sample(cls((1,)), (sample_array(3, 4, dtype="int64"),))  # type: ignore[call-arg]


@record
class Argmax(ArgExtremum):
    """The index of the largest element along one axis."""

    name: ClassVar[str] = "argmax"
    kind: ClassVar[str] = "argmax"
    numpy: ClassVar[Callable[..., Any]] = staticmethod(np.argmax)
    axes: tuple[int, ...]


@record
class Argmin(ArgExtremum):
    """The index of the smallest element along one axis."""

    name: ClassVar[str] = "argmin"
    kind: ClassVar[str] = "argmin"
    numpy: ClassVar[Callable[..., Any]] = staticmethod(np.argmin)
    axes: tuple[int, ...]


@function
def max_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element over `axis`; NaN if there is one."""
    return reduced_over(Max, x, axis, keepdims)


@function
def min_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis`; NaN if there is one."""
    return reduced_over(Min, x, axis, keepdims)


@function
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first largest element along `axis` (of the flattened tensor by default), int64."""
    return _arg(Argmax, x, axis, keepdims)


@function
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first smallest element along `axis` (of the flattened tensor by default), int64."""
    return _arg(Argmin, x, axis, keepdims)


def _arg(kind: type[Any], x: Any, axis: int | None, keepdims: bool) -> Tensor:
    tensor = as_tensor(x)
    if axis is None:
        return reduced_over(kind, tensor.reshape((tensor.size,)), 0, False)
    return reduced_over(kind, tensor, normalize_axis(axis, tensor.ndim), keepdims)
