"""Gradients of overlapping windows, by the remainders of their places.

    place_taps(x, chosen)  ->  stack over phases of sums over taps of pad(where(chosen == tap, x, 0))

Places with one remainder by the stride are reached by the same taps, from windows that stand side by side: no division is left and no
place is asked in vain.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.join import stack
from graphdl.ops.pooling import PlaceTaps
from graphdl.ops.select import where
from graphdl.ops.shape import reshape, transpose
from graphdl.ops.source import zeros
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import rewrite
from graphdl.sizes import Dim

from .convolution import fitted

MOST_TAPS = 16  # terms of one kernel; larger windows look up their taps one after the other


@record
class PhasePooling(Pass):
    """place_taps(x, chosen) -> sums of shifted choices, phase by phase"""

    name: ClassVar[str] = "pooling"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 16

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, phased, self.name)


def phased(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """What stands in for the gradient of windows of few taps over sizes that their strides divide, or None."""
    op = node.op
    if not isinstance(op, PlaceTaps) or op.is_apart or op.size > MOST_TAPS:
        return None
    x, chosen = operands
    known = all(isinstance(size, int) for size in (*op.sizes, *op.low, *x.shape[2:]))
    if not known or 0 in (*node.output.shape, *x.shape) or any(size % stride for size, stride in zip(op.sizes, op.strides, strict=True)):
        return None
    with derived("pooling", parents=[node]):
        return (_interleaved(op, x, chosen),)


def _interleaved(op: PlaceTaps, x: Tensor, chosen: Tensor) -> Tensor:
    spatial = len(op.kernel)
    rows = [size // stride for size, stride in zip(op.sizes, op.strides, strict=True)]
    phases = stack([_phase(op, x, chosen, phase, rows) for phase in itertools.product(*map(range, op.strides))], 2)
    apart = reshape(phases, (*x.shape[:2], *op.strides, *rows))
    beside = transpose(apart, (0, 1, *(axis for k in range(spatial) for axis in (2 + spatial + k, 2 + k))))
    return reshape(beside, (*x.shape[:2], *op.sizes))


def _phase(op: PlaceTaps, x: Tensor, chosen: Tensor, phase: tuple[int, ...], rows: Sequence[Dim]) -> Tensor:
    """The places that leave the remainders `phase`: each tap that reaches them does so from the window `shift` places before."""
    total: Tensor | None = None
    for number, tap in enumerate(itertools.product(*map(range, op.kernel))):
        distances = [r * d - b - low for r, d, b, low in zip(tap, op.dilation, phase, op.low, strict=True)]
        if any(distance % stride for distance, stride in zip(distances, op.strides, strict=True)):
            continue
        shift = [distance // stride for distance, stride in zip(distances, op.strides, strict=True)]
        term = fitted(where(chosen == number, x, 0.0), shift, rows)
        total = term if total is None else total + term
    return zeros((*x.shape[:2], *rows), x.dtype) if total is None else total
