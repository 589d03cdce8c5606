"""Fusion: several ops that one kernel computes. Only the fusion pass makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Tensor
from ..op import Array, Op
from ..sizes import Dim
from ..types import TensorType


@dataclass(frozen=True)
class Fusion(Op):
    """The outputs of `body`, whose inputs are the operands, without storing what is between."""

    name: ClassVar[str] = "fusion"
    pattern: ClassVar[str] = "fusion"
    body: Graph

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return tuple(tensor.type for tensor in self.body.outputs)

    def bind(self, sizes: dict[str, Dim]) -> _BoundFusion:  # type: ignore[override]
        return _BoundFusion(self.body, sizes)


@dataclass(frozen=True)
class _BoundFusion:
    """A fusion at the sizes of one call."""

    body: Graph
    sizes: dict[str, Dim]

    def evaluate(self, *operands: Array) -> tuple[Array, ...]:
        values: dict[Tensor, Array] = dict(zip(self.body.inputs, operands, strict=True))
        for node in self.body.nodes:
            if node.op.is_input:
                continue
            result = node.op.bind(self.sizes).evaluate(*(values[operand] for operand in node.operands))
            values.update(zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=True))
        return tuple(values[tensor] for tensor in self.body.outputs)
