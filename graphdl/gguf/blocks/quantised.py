"""Blocks of 32 numbers: codes of 4, 5 or 8 bits with a scale, and in some a minimum that is added.

Of two codes of 4 bits in a byte the lower one is among the first half of the block, the higher one among the second.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphdl.ir import Tensor
from graphdl.nn.rounding import BlockRounding

from .format import Array, BlockFormat, Planes, along, bits, inner, wide

ELEMENTS = 32
_SCALE, _MINIMUM = ("scale", "<f2"), ("minimum", "<f2")
_HALVES, _HIGH = ("codes", "u1", 16), ("high", "<u4")


def _halves(block: Array) -> Planes:
    """Planes over (half, element of a half)."""
    found = {name: inner(block[name], 1, 1) for name in ("scale", "minimum", "high") if name in (block.dtype.names or ())}
    return {**found, "codes": inner(block["codes"], 1, 16)}


def _low(p: Mapping[str, Tensor]) -> Tensor:
    """The 4 bits that every code of the halves has."""
    return bits(p["codes"], along(2, 2, 4, 5), 4)


def _with_fifth(p: Mapping[str, Tensor]) -> Tensor:
    """Codes of 5 bits; bit n of the block's word is the highest one of its element n."""
    place = along(2, 2, 16, 5).astype("uint32") + along(3, 16, 1, 5).astype("uint32")
    fifth = ((p["high"] >> place) & np.uint32(1)).astype("uint8")
    joined: Tensor = _low(p) | (fifth << np.uint8(4))
    return joined


def _q4_0(p: Mapping[str, Tensor]) -> Tensor:
    return (wide(_low(p)) - 8) * wide(p["scale"])


def _q4_1_scaled(p: Mapping[str, Tensor]) -> Tensor:
    return wide(_low(p)) * wide(p["scale"])


def _q4_1(p: Mapping[str, Tensor]) -> Tensor:
    return _q4_1_scaled(p) + wide(p["minimum"])


def _q5_0(p: Mapping[str, Tensor]) -> Tensor:
    return (wide(_with_fifth(p)) - 16) * wide(p["scale"])


def _q5_1_scaled(p: Mapping[str, Tensor]) -> Tensor:
    return wide(_with_fifth(p)) * wide(p["scale"])


def _q5_1(p: Mapping[str, Tensor]) -> Tensor:
    return _q5_1_scaled(p) + wide(p["minimum"])


def _whole(block: Array) -> Planes:
    return {"scale": inner(block["scale"], 1), "codes": inner(block["codes"], ELEMENTS)}


def _q8_0(p: Mapping[str, Tensor]) -> Tensor:
    return wide(p["codes"]) * wide(p["scale"])


Q4_0 = BlockFormat("Q4_0", 2, ELEMENTS, np.dtype([_SCALE, _HALVES]), _halves, _q4_0, BlockRounding(ELEMENTS, _q4_0))
Q4_1 = BlockFormat("Q4_1", 3, ELEMENTS, np.dtype([_SCALE, _MINIMUM, _HALVES]), _halves, _q4_1, BlockRounding(ELEMENTS, _q4_1_scaled, "minimum"))
Q5_0 = BlockFormat("Q5_0", 6, ELEMENTS, np.dtype([_SCALE, _HIGH, _HALVES]), _halves, _q5_0, BlockRounding(ELEMENTS, _q5_0))
Q5_1 = BlockFormat("Q5_1", 7, ELEMENTS, np.dtype([_SCALE, _MINIMUM, _HIGH, _HALVES]), _halves, _q5_1, BlockRounding(ELEMENTS, _q5_1_scaled, "minimum"))
Q8_0 = BlockFormat("Q8_0", 8, ELEMENTS, np.dtype([_SCALE, ("codes", "i1", ELEMENTS)]), _whole, _q8_0, BlockRounding(ELEMENTS, _q8_0))
