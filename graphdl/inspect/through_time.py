"""Gradients through time: how large the derivative by the carried state is at every step of a loop.

They shrink or grow by one factor from step to step where gradients vanish or explode. Bengio, Simard, Frasconi 1994.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..calculus import grad
from ..compiler import compile
from ..control.region import substitute
from ..control.scan import Scan
from ..errors import GradientError
from ..ir import Graph, Node, Tensor, derived, make_node
from ..ir.node import FUNCTIONS
from ..ops.source import Placeholder, full
from ..rewrite.rebuild import map_nodes
from ..types import is_floating
from .flow import GradientFlow


def gradient_through_time(loss: Tensor, inputs: Mapping[str, Any] | None = None, **named: Any) -> list[GradientFlow]:
    """For every floating carry of every scan that `loss` depends on, the norm of dloss/dcarry at each step, at these inputs.

    `norms[t]` is of the carry that goes into step t, of all its elements together, and counts every way from there to the loss.
    The carries of an LSTM are h and c. Raises GradientError where there is no scan with a floating carry, CallError for unfit inputs.
    """
    disturbances: list[_Disturbance] = []

    def disturbed(node: Node, operands: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not isinstance(node.op, Scan):
            return None
        added = [_Disturbance(node, k) for k, x in enumerate(operands[: node.op.carries]) if is_floating(x.dtype)]
        disturbances.extend(added)
        with derived("disturb", (), (node,)):
            return _added(node.op, operands, added) if added else None

    (end,) = map_nodes(Graph(loss), disturbed, "disturb").outputs
    if not disturbances:
        raise GradientError("gradient_through_time: the loss depends on no gd.scan, nor on a recurrent layer, with a floating carry")
    outer = [one.outer for one in disturbances]
    squares = [_squares_by_step(gradient) for gradient in grad(end, outer)]
    norms = substitute([FUNCTIONS["sqrt"](square) for square in squares], {x: full(x.shape, 0, x.dtype) for x in outer})
    found = compile(norms, Graph(loss).inputs)(**{**(inputs or {}), **named})
    return [GradientFlow(np.asarray(values), one.name, 0) for values, one in zip(found, disturbances, strict=True)]


class _Disturbance:
    """Zeros added to one carry at the beginning of every step: the gradient by them is that by the carry."""

    def __init__(self, node: Node, position: int) -> None:
        carry = node.op.body.inputs[position]
        self.position = position
        self.carry: Tensor = carry
        self.inner = Placeholder(f"z{position}", carry.dtype, carry.shape)()
        self.outer = Placeholder(f"{node.told} {node.number} {position}", carry.dtype, (node.op.length, *carry.shape))()
        where = ", ".join(sorted(node.provenance.modules)) or node.told
        self.name = f"carry {position} of {where}"


def _added(op: Scan, operands: tuple[Tensor, ...], added: list[_Disturbance]) -> tuple[Tensor, ...]:
    """The results of the scan with disturbed carries."""
    carries, rest = op.body.inputs[: op.carries], op.body.inputs[op.carries :]
    outputs = substitute(op.body.outputs, {one.carry: one.carry + one.inner for one in added})
    body = Graph(outputs, [*carries, *(one.inner for one in added), *rest])
    wider = replace(op, body=body, sequences=op.sequences + len(added))
    return make_node(wider, [*operands[: op.carries], *(one.outer for one in added), *operands[op.carries :]]).outputs


def _squares_by_step(gradient: Tensor) -> Tensor:
    total: Tensor = FUNCTIONS["sum"](gradient * gradient, axis=tuple(range(1, gradient.ndim)))
    return total
