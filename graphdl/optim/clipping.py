"""Gradients cut to a size before they are used."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import GradientError
from ..ir import Tensor
from ..ir.node import FUNCTIONS
from ..ops.rectifier import clip


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all elements of all tensors together."""
    if not tensors:
        raise GradientError("the norm of no tensors is not defined")
    total = sum_of_squares(tensors[0])
    for tensor in tensors[1:]:
        total = total + sum_of_squares(tensor)
    return total.sqrt()


def sum_of_squares(tensor: Tensor) -> Tensor:
    """The sum of the squares of all elements."""
    return (tensor * tensor).sum()


def clip_by_norm(gradients: Sequence[Tensor], max_norm: float) -> list[Tensor]:
    """All gradients times min(1, max_norm / (norm + 1e-6)), with the norm of all together. Pascanu, Mikolov, Bengio 2013."""
    if max_norm <= 0:
        raise ValueError(f"clip_by_norm: max_norm must be positive, not {max_norm}")
    factor = FUNCTIONS["minimum"](max_norm / (global_norm(gradients) + 1e-6), 1.0)
    return [gradient * factor.astype(gradient.dtype) for gradient in gradients]


def clip_by_value(gradients: Sequence[Tensor], clip_value: float) -> list[Tensor]:
    """Every element cut to [-clip_value, clip_value]."""
    if clip_value <= 0:
        raise ValueError(f"clip_by_value: clip_value must be positive, not {clip_value}")
    return [clip(gradient, -clip_value, clip_value) for gradient in gradients]
