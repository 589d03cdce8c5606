"""Super-blocks of 256 numbers: codes of 4 or 6 bits whose scales are themselves codes under one scale of the super-block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphdl.ir import Tensor

from .format import Array, BlockFormat, Planes, along, bits, inner, wide

ELEMENTS = 256


def _six_bits(packed: Array) -> tuple[Array, Array]:
    """Eight scales and eight minima of 6 bits out of 12 bytes: the first four are the low bits of bytes 0 to 3 and 4 to 7, the
    others have 4 bits in bytes 8 to 11 and their 2 highest above those first four."""
    first, second, third = packed[..., 0:4], packed[..., 4:8], packed[..., 8:12]
    scales = np.concatenate([first & 63, (third & 15) | (first >> 6 << 4)], -1)
    minima = np.concatenate([second & 63, (third >> 4) | (second >> 6 << 4)], -1)
    return scales, minima


def _q4_k_planes(block: Array) -> Planes:
    """Over (pair of 32 numbers, half of the pair, element)."""
    scales, minima = _six_bits(block["scales"])
    whole = {name: inner(block[name], 1, 1, 1) for name in ("scale", "minimum")}
    return {**whole, "scales": inner(scales, 4, 2, 1), "minima": inner(minima, 4, 2, 1), "codes": inner(block["codes"], 4, 1, 32)}


def _q4_k(p: Mapping[str, Tensor]) -> Tensor:
    codes = wide(bits(p["codes"], along(3, 2, 4, 6), 4))
    return codes * (wide(p["scale"]) * wide(p["scales"])) - wide(p["minimum"]) * wide(p["minima"])


def _q6_k_planes(block: Array) -> Planes:
    """Over (half of the super-block, high or low bits, which 32 bytes, half of those, element)."""
    low, high = inner(block["low"], 2, 1, 2, 2, 16), inner(block["high"], 2, 1, 1, 2, 16)
    return {"scale": inner(block["scale"], 1, 1, 1, 1, 1), "scales": inner(block["scales"], 2, 2, 2, 2, 1), "low": low, "high": high}


def _q6_k(p: Mapping[str, Tensor]) -> Tensor:
    low = bits(p["low"], along(3, 2, 4, 8), 4)
    high = bits(p["high"], along(3, 2, 4, 8) + along(4, 2, 2, 8), 2)
    return (wide(low | (high << np.uint8(4))) - 32) * (wide(p["scale"]) * wide(p["scales"]))


_Q4_K = np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("scales", "u1", 12), ("codes", "u1", 128)])
_Q6_K = np.dtype([("low", "u1", 128), ("high", "u1", 64), ("scales", "i1", 16), ("scale", "<f2")])
Q4_K = BlockFormat("Q4_K", 12, ELEMENTS, _Q4_K, _q4_k_planes, _q4_k)
Q6_K = BlockFormat("Q6_K", 14, ELEMENTS, _Q6_K, _q6_k_planes, _q6_k)
