"""Fusion: several ops that one kernel computes. Only the fusion pass makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..evaluation import evaluate_nodes
from ..ir import Graph, Tensor
from ..op import Array, Op
from ..record import record
from ..types import TensorType


@record
class Fusion(Op):
    """The outputs of `body`, whose inputs are the operands, without storing what is between."""

    name: ClassVar[str] = "fusion"
    pattern: ClassVar[str] = "fusion"
    body: Graph

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return tuple(tensor.type for tensor in self.body.outputs)

    def bind(self, sizes: Mapping[str, int]) -> _BoundFusion:  # type: ignore[override]
        return _BoundFusion(self.body, sizes)


@record
class _BoundFusion:
    """A fusion at the sizes of one call."""

    body: Graph
    sizes: Mapping[str, int]

    def evaluate(self, *operands: Array) -> tuple[Array, ...]:
        values: dict[Tensor, Array] = dict(zip(self.body.inputs, operands, strict=True))
        evaluate_nodes(self.body.nodes, values, self.sizes)
        return tuple(values[tensor] for tensor in self.body.outputs)
