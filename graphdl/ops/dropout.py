"""Dropout: elements set to zero at random in training, none at inference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import TypeRuleError
from ..ir import Tensor, as_tensor
from ..kernel.expression import Expr, apply, const
from ..op import Array, Sample, function, sample_array
from ..record import record
from ..types import TensorType, is_floating
from .elementwise import Elementwise, same_shape
from .random_bits import RandomState, default_state


@record
class Dropout(Elementwise):
    """Operands x and uint32 random bits: x / (1 - p) where the bits are at least p * 2**32, else 0. At inference x itself.

    Srivastava et al. 2014; scaled in training ("inverted"), so that the expectation is x.
    """

    name: ClassVar[str] = "dropout"
    arity: ClassVar[int] = 2
    p: float = 0.5

    @property
    def threshold(self) -> int:
        return min(int(self.p * 2**32), 2**32 - 1)

    @property
    def scale(self) -> float:
        return 1 / (1 - self.p) if self.p < 1 else 0.0

    def infer(self, *operands: TensorType) -> TensorType:
        x, bits = operands
        if not is_floating(x.dtype) or bits.dtype != "uint32":
            raise TypeRuleError(f"needs a floating tensor and uint32 bits, got {x} and {bits}")
        return x.with_shape(same_shape(x, bits))

    def expression(self, *x: Expr) -> Expr:
        kept = apply("greater_equal", x[1], const(self.threshold, "uint32"))
        return apply("select", kept, x[0] * self.scale, x[0].zero())

    def evaluate(self, *operands: Array) -> Array:
        x, bits = operands
        return np.asarray(np.where(bits >= self.threshold, x * x.dtype.type(self.scale), x.dtype.type(0)))

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return self(cotangent, operands[1]), None

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else self(tangents[0], operands[1])

    def inference(self, *operands: Tensor) -> Tensor | None:
        return operands[0]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for shape in ((3, 7), (5,), (), (0, 2)):
            bits = np.random.default_rng(1).integers(0, 2**32, shape, "uint32")
            yield Sample(cls(0.5), (sample_array(*shape), bits))
            yield Sample(cls(0.1), (sample_array(*shape), bits))
        yield Sample(cls(1.0), (sample_array(4), np.arange(4, dtype="uint32")))


@function
def dropout(x: Any, p: float = 0.5, state: RandomState | None = None) -> Tensor:
    """x with every element set to 0 with probability `p` and the others divided by 1 - p; x itself in programs for inference.

    Raises TypeRuleError unless 0 <= p <= 1.
    """
    if not 0 <= p <= 1:
        raise TypeRuleError(f"dropout: p is a probability between 0 and 1, not {p}")
    tensor = as_tensor(x)
    return tensor if p == 0 else Dropout(float(p))(tensor, (state or default_state()).bits(tensor.shape))
