"""A tensor with a stretch of one axis replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import TypeRuleError
from ..ir import Tensor, as_tensor
from ..kernel.expression import fresh_axes, load
from ..kernel.program import Kernel, Store
from ..op import Array, Op, Sample, function, normalize_axis, sample_array
from ..record import record
from ..sizes import Dim, as_size, maximum
from ..types import TensorType
from .slicing import slice_axis
from .source import full

if TYPE_CHECKING:
    from ..lowering import Lowering


@record
class WriteSlice(Op):
    """Operands x and new, of one rank and dtype: x with `new` in its place along `axis` from `start` on, whole along all other axes.

    As the new value of the parameter x itself it is written there, and what it leaves alone is not touched.
    """

    name: ClassVar[str] = "write_slice"
    axis: int
    start: Dim

    def infer(self, *operands: TensorType) -> TensorType:
        x, new = operands
        if x.rank != new.rank or x.dtype != new.dtype or not 0 <= self.axis < x.rank:
            raise TypeRuleError(f"{new} cannot be written along axis {self.axis} of {x}: dtype and rank must be the same")
        for k, (own, size) in enumerate(zip(x.shape, new.shape, strict=True)):
            if k != self.axis:
                unify(own, size, f"axis {k} of {x} and of {new}")
        whole, end = x.shape[self.axis], self.start + new.shape[self.axis]
        unify(maximum(self.start, 0), self.start, f"the start along axis {self.axis}, which is not negative,")
        unify(maximum(end, whole), whole, f"the end of {new} from {self.start} on and axis {self.axis} of {x}")
        return x

    def evaluate(self, *operands: Array) -> Array:
        x, new = operands
        start = int(self.start)
        result = x.copy()
        np.moveaxis(result, self.axis, 0)[start : start + new.shape[self.axis]] = np.moveaxis(new, self.axis, 0)
        return result

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        new = operands[1]
        rest = self(cotangent, full(new.shape, 0, new.dtype))
        return rest, slice_axis(cotangent, self.axis, self.start, new.shape[self.axis])

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return self(*(full(x.shape, 0, x.dtype) if tangent is None else tangent for tangent, x in zip(tangents, operands, strict=True)))

    def lower_steps(self, lowering: Lowering, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        target, new = lowering.overwritten(outputs[0], operands[0]), lowering.buffer(operands[1])
        axes = fresh_axes(new.type.shape)
        index = tuple(map(as_size, axes))
        moved = tuple(part + self.start if k == self.axis else part for k, part in enumerate(index))
        lowering.add(Kernel(self.name, axes, (Store(target, axes, moved, load(new, index)),), (outputs[0].node,)))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(1, 2), (sample_array(3, 7, 2), sample_array(3, 4, 2, seed=1)))
        yield Sample(cls(0, 0), (sample_array(5), sample_array(5, seed=1)))
        yield Sample(cls(0, 3), (sample_array(5, 2), sample_array(0, 2)))
        yield Sample(cls(2, 1), (sample_array(0, 2, 3), sample_array(0, 2, 1)))


@function
def write_slice(x: Any, new: Any, axis: int, start: Dim) -> Tensor:
    """x with `new`, of its rank, in place of x[start : start + size] along `axis`; both must be inside x.

    Raises TypeRuleError for another rank or dtype, ShapeError for sizes that cannot fit; a call confirms symbolic ones.
    """
    base, part = as_tensor(x), as_tensor(new)
    return WriteSlice(normalize_axis(axis, base.ndim), start)(base, part)
