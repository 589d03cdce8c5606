"""Floats as they are, one to a block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphdl.ir import Tensor
from graphdl.types import numpy_dtype

from .format import Array, BlockFormat, Planes, wide


def _plain(name: str, number: int, held: np.dtype[Any], dtype: str) -> BlockFormat:
    def planes(block: Array) -> Planes:
        return {"numbers": block["number"].view(numpy_dtype(dtype))}

    def unpack(p: Mapping[str, Tensor]) -> Tensor:
        return wide(p["numbers"])

    return BlockFormat(name, number, 1, np.dtype([("number", held)]), planes, unpack)


F32 = _plain("F32", 0, np.dtype("<f4"), "float32")
F16 = _plain("F16", 1, np.dtype("<f2"), "float16")
BF16 = _plain("BF16", 30, np.dtype("<u2"), "bfloat16")
