"""Sums over windows: pooling by means, forth and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from ..ir import Tensor
from ..kernel.expression import Expr, Index, const, fresh_axes, guard, reduce
from ..op import Access, Array, Sample, sample_array
from ..record import record
from ..types import Shape, TensorType
from .pooling import Fixed, Pooling, sample_windows
from .window import sizes_of


@record
class WindowSum(Pooling):
    """The sum of every window, padding and the places between spread elements being 0. Its transpose is of its kind."""

    name: ClassVar[str] = "window_sum"
    pattern: ClassVar[str] = "reduction"
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    low: Shape
    high: Shape
    dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        return self.pooled(operands[0])

    def evaluate(self, *operands: Array) -> Array:
        return np.asarray(self.all_taps(operands[0], 0.0).sum(-1), operands[0].dtype)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        sizes = zip(self.windows, operands[0].shape[2:], self.kernel, output.shape[2:], strict=True)
        back = [one.by_data(size, taps, count) for one, size, taps, count in sizes]
        columns = zip(*((one.stride, one.low, one.high, one.dilation, one.spread) for one in back), strict=True)
        return (WindowSum(self.kernel, *columns)(cotangent),)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else self(tangents[0])

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        (x,) = operands
        taps = fresh_axes(self.kernel, "r")
        at, inside = self.tap(tuple(index[2:]), sizes_of(taps), x.type.shape[2:])  # type: ignore[attr-defined]
        return reduce("sum", taps, guard(inside, x((*index[:2], *at)), const(0, out.dtype)))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for op, shape in sample_windows(Fixed):
            yield Sample(op.other(cls, input_dilation=op.input_dilation), (sample_array(*shape),))
        yield Sample(cls((2, 3), (1, 1), (1, 0), (0, 2), (1, 2), (2, 3)), (sample_array(2, 1, 3, 4),))
