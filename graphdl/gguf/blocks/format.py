"""What a block format is: how its bytes lie, which planes they are taken apart into, and how numbers come of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphdl.ir import Tensor
from graphdl.nn.rounding import BlockRounding
from graphdl.ops.shape import reshape
from graphdl.ops.source import arange

from ...record import record

Array = np.ndarray[Any, Any]
Planes = dict[str, Array]
FORMATS: dict[int, BlockFormat] = {}


@record
class BlockFormat:
    """Blocks of `elements` numbers of a row, each held as one element of the structured dtype `layout`.

    `planes` takes blocks (rows, count) apart into arrays (rows, count, ...) whose further axes, of size 1 where something
    holds for all, together run over a block's elements in order. `unpack` computes the numbers from the planes as tensors
    of the same axes with one more behind them, of rows side by side: float32 (panels, count, ..., rows of a panel).
    """

    name: str
    number: int  # of GGUF
    elements: int
    layout: np.dtype[Any]
    planes: Callable[[Array], Planes]
    unpack: Callable[[Mapping[str, Tensor]], Tensor]
    rounding: BlockRounding | None = None  # of activations, as llama.cpp multiplies these blocks, where graphdl has it

    def __post_init__(self) -> None:
        FORMATS[self.number] = self


def inner(plane: Array, *axes: int) -> Array:
    """A field of blocks, (rows, count, ...), with its elements along these axes."""
    return plane.reshape(*plane.shape[:2], *axes)


def along(axis: int, size: int, step: int, rank: int) -> Tensor:
    """0, step, 2 step, ... along one of `rank` axes, as uint8: how far the parts of a byte are shifted."""
    return reshape(arange(size, "uint8") * np.uint8(step), tuple(size if k == axis else 1 for k in range(rank)))


def bits(codes: Tensor, shift: Tensor, count: int) -> Tensor:
    """`count` bits of every byte from `shift` on, broadcast."""
    return (codes >> shift) & np.uint8((1 << count) - 1)


def wide(x: Tensor) -> Tensor:
    """As float32."""
    result: Tensor = x.astype("float32")
    return result
