"""Attention as ONNX Runtime's own ops have it: com.microsoft's Attention, MultiHeadAttention and QAttention."""

from __future__ import annotations

import math
from typing import Any

from ...errors import FormatError
from ...ir import Tensor
from ...ops.join import split
from ...ops.matmul import matmul
from ...ops.select import where
from ...ops.shape import reshape, swapaxes, transpose
from ...ops.softmax import softmax
from ...ops.source import Iota, full
from ...sizes import Dim
from ..registry import Call, translates
from .quantised import integer_product

MICROSOFT = "com.microsoft"


@translates("Attention", domain=MICROSOFT)
def _attention(call: Call, x: Tensor, w: Tensor, bias: Tensor | None = None, mask: Tensor | None = None, *rest: Tensor | None) -> Tensor:
    """Query, key and value are one product of the input; the mask is (N, S) of 0 and 1."""
    _refuse(call, rest, "a past, or a bias of the scores")
    product = matmul(x, w)
    return _attended(call, product if bias is None else product + bias, mask)


@translates("QAttention", domain=MICROSOFT)
def _quantised_attention(call: Call, x: Tensor, w: Tensor, bias: Tensor, xs: Tensor, ws: Tensor, *rest: Tensor | None) -> Tensor:
    """The same of an input and weights of 8-bit integers with their scales and zero points."""
    mask, x_zero, w_zero, past = (*rest, *[None] * 4)[:4]
    _refuse(call, (past,), "a past")
    return _attended(call, integer_product(call, x, x_zero, w, w_zero).astype(xs.dtype) * (xs * ws) + bias, mask)


def _attended(call: Call, product: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of (N, S, 3 * hidden), which holds queries, keys and values beside each other."""
    sizes = call.attribute("qkv_hidden_sizes")
    parts = split(product, [sizes[0], sizes[0] + sizes[1]] if sizes else 3, -1)
    query, key, value = (_heads(call, part) for part in parts)
    return _joined(_weighted(call, query, key, value, mask))


@translates("MultiHeadAttention", domain=MICROSOFT)
def _multi_head_attention(call: Call, query: Tensor, key: Tensor, value: Tensor, *rest: Tensor | None) -> Tensor:
    """Query (N, L, H * E), key and value (N, S, H * E) or, by heads, (N, H, S, E); the mask is (N, S) of 0 and 1."""
    bias, mask, scores = (*rest, None, None, None)[:3]
    _refuse(call, rest[3:], "a past")
    given = [query, key, value]
    if bias is not None:
        ends = [query.shape[-1], query.shape[-1] * 2]
        given = [x + part for x, part in zip(given, split(bias, ends, 0), strict=True)]
    queries, keys, values = (x if x.ndim == 4 else _heads(call, x) for x in given)
    return _joined(_weighted(call, queries, keys, values, mask, scores))


def _refuse(call: Call, operands: Any, what: str) -> None:
    if any(one is not None for one in operands) or call.wants(1):
        raise FormatError(f"{call.op} with {what} is not supported")


def _heads(call: Call, x: Tensor) -> Tensor:
    """x (N, S, H * E) as (N, H, S, E)."""
    heads = call.required("num_heads")
    return transpose(reshape(x, (*x.shape[:2], heads, x.shape[2] // heads)), (0, 2, 1, 3))


def _joined(x: Tensor) -> Tensor:
    """x (N, H, S, E) as (N, S, H * E)."""
    n, heads, length, size = x.shape
    return reshape(transpose(x, (0, 2, 1, 3)), (n, length, heads * size))


def _weighted(call: Call, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, more: Tensor | None = None) -> Tensor:
    """Vaswani et al. 2017, section 3.2.1. Keys that the mask hides get `mask_filter_value` added to their scores."""
    size = query.shape[-1]
    scale = call.attribute("scale", 0.0) or 1 / math.sqrt(int(size))
    scores = matmul(query * scale, swapaxes(key, -1, -2))
    scores = scores if more is None else scores + more
    hidden = call.attribute("mask_filter_value", -10000.0)
    if mask is not None:
        if mask.ndim != 2:
            raise FormatError(f"a mask of {mask.ndim} axes is not supported: give one of (batch, keys)")
        shape: tuple[Dim, ...] = (mask.shape[0], 1, 1, mask.shape[1])
        scores = scores + reshape(where(mask > 0, full((), 0, scores.dtype), full((), hidden, scores.dtype)), shape)
    if call.attribute("unidirectional", 0):
        after = Iota(scores.shape, 3, "int64")() > Iota(scores.shape, 2, "int64")()
        scores = where(after, full((), hidden, scores.dtype), scores)
    return matmul(softmax(scores, -1), value)
