"""Derivatives by the user's own rule, and values computed again in the backward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import Any, ClassVar

from ..errors import GradientError
from ..formula import Formula
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Expr, Index
from ..op import Access, Array, Op, Sample, function, sample_array
from ..record import record
from ..types import TensorType
from .elementwise import describe

Rule = Callable[[Tensor], Sequence[Tensor | None] | Tensor]


@record
class CustomGradient(Op):
    """Operands output, *inputs: the output, whose cotangent goes to the inputs by `rule` and not through its own computation."""

    name: ClassVar[str] = "custom_gradient"
    pattern: ClassVar[str] = "injective"
    has_text: ClassVar[bool] = False
    rule: Rule = field(repr=False)

    def infer(self, *operands: TensorType) -> TensorType:
        return operands[0]

    def evaluate(self, *operands: Array) -> Array:
        return operands[0]

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        inputs = operands[1:]
        given = self.rule(cotangent)
        cotangents = [given] if isinstance(given, Tensor) else list(given)
        if len(cotangents) != len(inputs):
            raise GradientError(f"the rule gave {len(cotangents)} cotangents for {len(inputs)} inputs: give one for each, None for zero")
        for x, pulled in zip(inputs, cotangents, strict=True):
            if pulled is not None and (len(pulled.shape) != len(x.shape) or pulled.dtype != x.dtype):
                raise GradientError(f"the rule's cotangent {describe(pulled)} does not fit the input {describe(x)}")
        return None, *cotangents

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        return operands[0](index)

    def canonical(self, *operands: Tensor) -> Tensor | None:
        return operands[0]  # passes run when all derivatives are built

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return operands[0]


@record
class Recompute(Op):
    """Operands x, after: x once more, for values to be computed again from it when `after` is known.

    It is no copy of x for common subexpressions, so what is computed from it is computed anew instead of being kept.
    """

    name: ClassVar[str] = "recompute"
    pattern: ClassVar[str] = "injective"

    def infer(self, *operands: TensorType) -> TensorType:
        return operands[0]

    def evaluate(self, *operands: Array) -> Array:
        return operands[0]

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return cotangent, None

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return tangents[0]

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        return operands[0](index)

    def canonical(self, *operands: Tensor) -> Tensor | None:
        return operands[0] if operands[0].node.op.is_parameter else None  # those are kept anyway

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return operands[0]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(), (sample_array(3, 2), sample_array(5)))


@function
def custom_gradient(fn: Callable[..., tuple[Tensor, Rule]]) -> Callable[..., Tensor]:
    """A function of tensors with its own derivative.

    `fn(*tensors)` returns the output and a rule; `rule(cotangent)` returns a cotangent for every tensor, or None for
    zero. The rule builds graph, so it can be differentiated again.

        @gd.custom_gradient
        def clipped(x):                       # the identity, with its cotangent cut
            return x, lambda cotangent: cotangent.clip(-1, 1)

    Raises GradientError, when differentiated, if the rule's cotangents do not fit.
    """

    @functools.wraps(fn)
    def wrapped(*operands: Any) -> Tensor:
        tensors = [as_tensor(operand) for operand in operands]
        output, rule = fn(*tensors)
        return CustomGradient(rule)(output, *tensors)

    return wrapped
