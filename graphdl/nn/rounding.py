"""Activations rounded to 8 bits in blocks, as llama.cpp multiplies quantised weights: its Q8_0 and, where weights have minima, Q8_1."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..ir import Tensor
from ..ir.node import FUNCTIONS
from ..ops.select import stop_gradient, where
from ..ops.shape import reshape
from ..record import record
from ..sizes import divides

LARGEST = 127  # of a code


@record
class BlockRounding:
    """What a packed product needs to know to round its activations.

    Blocks have `elements` neighbours of a row. `scaled` computes the matrix from its planes without what is added to all numbers of
    a block, which is the plane named `minimum`, if there is one: that multiplies the sum of the rounded block.
    """

    elements: int
    scaled: Callable[[Mapping[str, Tensor]], Tensor]
    minimum: str = ""


def rounded_blocks(x: Tensor, elements: int) -> tuple[Tensor, Tensor]:
    """x float32 (..., columns) with every block of `elements` rounded: float32 (..., columns), and the sums of blocks (..., blocks).

    With d = max|x| / 127 over a block, an element is round(x / d) d, halves to even, where the scale d outside the rounding is held as
    float16, as are the sums. Gradients pass as if nothing were rounded: straight through, Bengio, Léonard, Courville 2013.
    """
    count = divides(elements, x.shape[-1])
    assert count is not None
    blocks = reshape(x, (*x.shape[:-1], count, elements))
    largest = FUNCTIONS["max"](FUNCTIONS["abs"](blocks), axis=-1, keepdims=True)
    codes = FUNCTIONS["round"](blocks * where(largest == 0, 0.0, LARGEST / largest))
    step = largest / LARGEST
    sums = _as_half(reshape(codes.sum(axis=-1, keepdims=True) * step, (*x.shape[:-1], count)))
    return _straight(reshape(codes * _as_half(step), x.shape), x), _straight(sums, blocks.sum(axis=-1))


def _as_half(x: Tensor) -> Tensor:
    return x.astype("float16").astype("float32")


def _straight(rounded: Tensor, x: Tensor) -> Tensor:
    """`rounded` to the last bit, with the derivative of x."""
    result: Tensor = stop_gradient(rounded) + (x - stop_gradient(x))
    return result
