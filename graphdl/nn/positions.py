"""Where in a sequence something stands: sinusoidal, learned and rotary positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.indexing import take
from ..ops.join import concatenate, stack
from ..ops.shape import expand_dims, reshape
from ..ops.source import arange, constant
from ..sizes import Dim
from ..types import as_dim, dtype_name, is_integer
from . import init
from .dropout import Dropout
from .module import Module


def sinusoidal_positions(length: Dim | str, dim: int, dtype: Any = "float32") -> Tensor:
    """sin(p w_i) at 2i and cos(p w_i) at 2i + 1, with w_i = 10000^(-2i / dim), for positions p: shape (length, dim).

    `length` may be symbolic. Vaswani et al. 2017, section 3.5. Raises ShapeError unless `dim` is even.
    """
    angles = _angles(arange(as_dim(length)), dim, 10000.0, dtype)
    return reshape(stack([angles.sin(), angles.cos()], -1), (*angles.shape[:-1], dim))


def rotary(x: Tensor, positions: Tensor | None = None, base: float = 10000.0, interleaved: bool = False) -> Tensor:
    """x (..., L, D) with pairs of features turned by the angle p base^(-2i / D) of pair i at position p.

    `positions` (L,) are 0, 1, 2, ... unless given. Pair i is features i and D/2 + i, as in Llama's weights of Hugging Face, or
    2i and 2i + 1 if `interleaved`, as in the paper. Products of two turned vectors depend on the distance of their positions
    only. Su et al. 2021, section 3.4. Raises ShapeError unless D is even, TypeRuleError for positions that are not integers.
    """
    features = x.shape[-1] if x.ndim > 1 else 0
    if not isinstance(features, int) or features == 0:
        raise ShapeError(f"rotary: {describe(x)} needs an even, known number of features on its last axis, and a length before it")
    angles = _angles(arange(x.shape[-2]) if positions is None else positions, features, base, x.dtype)
    cosine, sine = angles.cos(), angles.sin()
    half = features // 2
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    turned = a * cosine - b * sine, b * cosine + a * sine
    return reshape(stack(turned, -1), x.shape) if interleaved else concatenate(turned, -1)


def _angles(positions: Tensor, dim: int, base: float, dtype: Any) -> Tensor:
    """p base^(-2i / dim) for i below dim / 2: shape (L, dim / 2)."""
    if dim < 2 or dim % 2:
        raise ShapeError(f"positions are told by pairs of features: {dim} is not even")
    if not is_integer(positions.dtype):
        raise TypeRuleError(f"positions are integers, not {describe(positions)}")
    name = dtype_name(dtype)
    rates = np.exp(-math.log(base) * np.arange(0, dim, 2) / dim)
    result: Tensor = expand_dims(positions.astype(name), -1) * constant(rates, name)
    return result


class SinusoidalPositions(Module):
    """x (..., L, dim) plus `sinusoidal_positions`, then dropout. It has no parameters and any length will do."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        if dim < 2 or dim % 2:
            raise ShapeError(f"SinusoidalPositions: {dim} features are not an even number")
        self.dim = dim
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x + sinusoidal_positions(x.shape[-2], self.dim, x.dtype))

    def extra_repr(self) -> str:
        return f"{self.dim}"


class LearnedPositions(Module):
    """x (..., L, dim) plus a learned row for each position; `weight` is (max_length, dim), normal of deviation 0.02 at first.

    A length beyond max_length is an error of the call.
    """

    def __init__(self, max_length: int, dim: int, dropout: float = 0.0, dtype: Any = "float32") -> None:
        self.max_length = max_length
        self.dim = dim
        self.weight = init.normal_(init.blank("weight", (max_length, dim), dtype), 0.0, 0.02)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """`positions` (L,) are 0, 1, 2, ... unless given."""
        rows = self.weight[: x.shape[-2]] if positions is None else take(self.weight, positions, 0)
        return self.dropout(x + rows)

    def extra_repr(self) -> str:
        return f"{self.max_length}, {self.dim}"


class RotaryPositions(Module):
    """`rotary` with its options: made once, applied to queries and keys."""

    def __init__(self, base: float = 10000.0, interleaved: bool = False) -> None:
        self.base = base
        self.interleaved = interleaved

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        return rotary(x, positions, self.base, self.interleaved)

    def extra_repr(self) -> str:
        return f"base={self.base}, interleaved={self.interleaved}"
