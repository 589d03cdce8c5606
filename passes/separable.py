"""Maxima over large windows, along one axis after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.pooling import MaxPool
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import rewrite

V = TypeVar("V")
GAIN = 2  # times as many comparisons are worth another pass over memory


@record
class SeparatePooling(Pass):
    """max_pool(x, (13, 13)) -> max_pool(max_pool(x, (13, 1)), (1, 13))     26 elements for each result instead of 169"""

    name: ClassVar[str] = "separable"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 17

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, separated, self.name)


def separated(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """The maxima along the first axis that has windows, and of those the maxima along all others; None if that saves little."""
    op = node.op
    if not isinstance(op, MaxPool) or 0 in (*node.output.shape, *operands[0].shape):
        return None
    axis = next((k for k, size in enumerate(op.kernel) if size > 1), 0)
    others = [k for k in range(len(op.kernel)) if k != axis]
    first = op.kernel[axis] * math.prod(op.strides[k] for k in others)  # computed at places that the others skip, too
    if op.size < GAIN * (first + op.size // op.kernel[axis]):
        return None
    with derived("separable", parents=[node]):
        return (_along(op, others)(_along(op, [axis])(operands[0])),)


def _along(op: MaxPool, axes: Sequence[int]) -> MaxPool:
    """The windows along some axes only."""
    low, high = _kept(op.low, axes, 0), _kept(op.high, axes, 0)
    return MaxPool(_kept(op.kernel, axes, 1), _kept(op.strides, axes, 1), low, high, _kept(op.dilation, axes, 1))


def _kept(values: Sequence[V], axes: Sequence[int], otherwise: V) -> tuple[V, ...]:
    return tuple(value if k in axes else otherwise for k, value in enumerate(values))
