"""Random numbers in loops: every step draws from a state of its own, split off the one outside."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..ir import Tensor
from ..ir.graph import topological_order
from ..ops.join import stack
from ..ops.random_bits import STATE_LABEL, RandomBits
from ..ops.shape import broadcast_to
from ..ops.source import Placeholder
from ..record import record
from ..sizes import Dim
from .region import substitute

_streams = itertools.count(0xFFFFFFFF, -1)  # from the end that places which draw do not reach


@record
class Drawn:
    """`ends` with the states outside replaced by `elements`, one for a step, of the `sequences` of states."""

    ends: list[Tensor]
    elements: list[Tensor]
    sequences: list[Tensor]


def draw_anew(ends: Sequence[Tensor], length: Dim, since: int) -> Drawn:
    """The same tensors, drawing other random numbers in each of `length` steps, by all nodes with numbers from `since` on."""
    inside = [node for node in topological_order(ends) if node.number >= since]
    states = list(dict.fromkeys(operand for node in inside for operand in node.operands if is_state(operand)))
    elements = [Placeholder(f"s{k}", state.dtype, state.shape)() for k, state in enumerate(states)]
    if not states:
        return Drawn(list(ends), [], [])
    return Drawn(substitute(ends, dict(zip(states, elements, strict=True)), since), elements, [split(state, length) for state in states])


def is_state(tensor: Tensor) -> bool:
    """Whether the tensor is a random state."""
    return tensor.node.op.is_parameter and tensor.name == STATE_LABEL


def split(state: Tensor, count: Dim) -> Tensor:
    """int64 [count, 2]: states with new seeds, drawn from `state`, and its step."""
    words = RandomBits((count, 2), next(_streams))(state).astype("int64")
    return stack([words[:, 0] * 2**32 + words[:, 1], broadcast_to(state[1], (count,))], 1)
