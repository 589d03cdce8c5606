"""Dropout of elements and of whole channels: active in programs compiled for training, absent in those for inference."""

from __future__ import annotations

from ..errors import ShapeError
from ..ir import Tensor
from ..ops.dropout import dropout as drop
from ..ops.elementwise import describe
from ..ops.shape import reshape
from ..ops.source import full
from .module import Module


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`input` with every element set to 0 with probability `p`, the others divided by 1 - p.

    With `training=False` never; else in programs compiled for training. Srivastava et al. 2014.
    """
    return drop(input, p) if training else input


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels: one draw for each (sample, channel) of input (N, C, ...). Tompson et al. 2015."""
    if input.ndim < 3:
        raise ShapeError(f"dropout2d: needs an input of shape (N, C, ...), got {describe(input)}")
    if not training:
        return input
    kept = drop(full(input.shape[:2], 1, input.dtype), p)
    return input * reshape(kept, (*input.shape[:2], *[1] * (input.ndim - 2)))


class Dropout(Module):
    """`dropout` as a module."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is a probability between 0 and 1, not {p}")
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """`dropout2d` as a module."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout2d(input, self.p)
