"""What must hold of sizes that only a call knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from ..constraints import unify
from ..formula import Formula
from ..ir import Node, Tensor
from ..kernel.expression import Expr, Index
from ..op import Access, Array, Op, Sample, sample_array
from ..record import record
from ..sizes import maximum
from ..types import TensorType


@record
class AtLeast(Op):
    """The operand itself, whose `axis` has a size of `least` or more: a smaller one is refused, here or by the call."""

    name: ClassVar[str] = "at_least"
    pattern: ClassVar[str] = "injective"
    axis: int
    least: int

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        size = x.shape[self.axis]
        unify(maximum(size, self.least), size, f"axis {self.axis} of {x} needs a size of at least {self.least}")
        return x

    def evaluate(self, *operands: Array) -> Array:
        return operands[0]

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (cotangent,)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return tangents[0]

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        return operands[0](index)

    def canonical(self, *operands: Tensor) -> Tensor | None:
        return operands[0]  # programs keep what the declared graph requires of a call

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return operands[0]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(0, 2), (sample_array(3, 2),))
        yield Sample(cls(1, 0), (sample_array(3, 0),))
