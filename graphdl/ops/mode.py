"""A value for training and another for inference: what normalisation by running statistics needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from ..ir import Tensor, as_tensor
from ..kernel.expression import Expr
from ..op import Array, Sample, function, sample_array
from ..record import record
from .elementwise import Elementwise, align
from .source import full


@record
class ByMode(Elementwise):
    """The first operand in programs compiled for training, the second in those for inference; so are its derivatives."""

    name: ClassVar[str] = "by_mode"
    kinds: ClassVar[str] = "fib"
    arity: ClassVar[int] = 2

    def expression(self, *x: Expr) -> Expr:
        return x[0]

    def evaluate(self, *operands: Array) -> Array:
        return operands[0]

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        zero = full(cotangent.shape, 0, cotangent.dtype)
        return self(cotangent, zero), self(zero, cotangent)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        zero = full(output.shape, 0, output.dtype)
        training, inference = (zero if tangent is None else tangent for tangent in tangents)
        return self(training, inference)

    def inference(self, *operands: Tensor) -> Tensor | None:
        return operands[1]

    def canonical(self, *operands: Tensor) -> Tensor | None:
        return operands[0] if operands[0] is operands[1] else None

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for shape in ((3, 5), (0,), ()):
            yield Sample(cls(), (sample_array(*shape), sample_array(*shape, seed=1)))


@function
def by_mode(training: Any, inference: Any) -> Tensor:
    """`training` in programs compiled for training, `inference` in those for inference; both broadcast."""
    return ByMode()(*align(as_tensor(training), as_tensor(inference)))
