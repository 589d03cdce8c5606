"""Scaled dot-product attention as a function."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.attention import Attention
from ..ops.elementwise import broadcast_shapes, describe
from ..ops.random_bits import default_state
from ..ops.shape import broadcast_to, reshape
from ..types import Shape, is_floating


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale Q Kᵀ + mask) V, for query (..., L, E), key (..., S, E) and value (..., S, V): shape (..., L, V).

    `attn_mask` broadcasts to (..., L, S): boolean, True where a key is seen, or floating and added. With `is_causal` query i
    sees the keys up to i, besides what the mask says. `scale` is 1/√E unless given. With `enable_gqa` the heads of query,
    on the third axis from the end, are a multiple of those of key and value. `dropout_p` drops weights in programs for
    training. A query that sees no key gets zeros, in both kinds of mask, as in PyTorch; its gradients are zero too.
    Vaswani et al. 2017. Raises ShapeError or TypeRuleError for what does not fit.
    """
    operands, options = prepared(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    result = Attention(**options)(*operands)
    return reshape(result, result.shape[-2:]) if max(x.ndim for x in (query, key, value)) == 2 else result


def prepared(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, is_causal: bool, scale: float | None, grouped: bool
) -> tuple[list[Tensor], dict[str, Any]]:
    """The operands and options of the op `Attention`. Raises as `scaled_dot_product_attention`."""
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout_p is a probability between 0 and 1, not {dropout}")
    operands = _aligned(query, key, value, grouped)
    weights: Shape = (*operands[0].shape[:-1], operands[1].shape[-2])
    if mask is not None:
        operands.append(_fitted_mask(mask, weights, query))
    if dropout:
        operands.append(default_state().bits(weights))
    return operands, {"is_causal": is_causal, "scale": _scale(query, scale), "masked": mask is not None, "dropout": float(dropout)}


def _aligned(query: Tensor, key: Tensor, value: Tensor, grouped: bool) -> list[Tensor]:
    """Query, key and value of one rank with broadcast leading axes; heads stay as they are where they are grouped."""
    tensors = query, key, value
    told = f"the query {describe(query)}, the key {describe(key)} and the value {describe(value)}"
    if any(x.ndim < 2 for x in tensors) or (grouped and any(x.ndim < 3 for x in tensors)):
        raise ShapeError(f"scaled_dot_product_attention: {told} need at least {3 if grouped else 2} axes")
    rank = max(3, *(x.ndim for x in tensors))
    spread = [reshape(x, (*(1,) * (rank - x.ndim), *x.shape)) for x in tensors]
    kept = 3 if grouped else 2
    try:
        lead = broadcast_shapes(*(x.shape[:-kept] for x in spread))
    except ShapeError as error:
        raise ShapeError(f"scaled_dot_product_attention: {told} do not fit: {error}; give enable_gqa=True where fewer heads of keys are meant") from None
    return [broadcast_to(x, (*lead, *x.shape[-kept:])) for x in spread]


def _fitted_mask(mask: Tensor, weights: Shape, query: Tensor) -> Tensor:
    """The mask with as many axes as the weights."""
    if mask.dtype != "bool" and not is_floating(mask.dtype):
        raise TypeRuleError(f"scaled_dot_product_attention: the mask {describe(mask)} is neither bool, True where seen, nor floating, to be added")
    try:
        fits = mask.ndim <= len(weights) and len(broadcast_shapes(mask.shape, weights)) == len(weights)
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"scaled_dot_product_attention: the mask {describe(mask)} does not broadcast to the weights ({', '.join(map(str, weights))})"
            f" of the query {describe(query)}"
        )
    cast: Tensor = mask if mask.dtype == "bool" else mask.astype(query.dtype)
    return reshape(cast, (*(1,) * (len(weights) - mask.ndim), *mask.shape))


def _scale(query: Tensor, scale: float | None) -> float:
    features = query.shape[-1]
    if scale is None and not isinstance(features, int):
        raise ShapeError(f"scaled_dot_product_attention: the query {describe(query)} has a symbolic number of features: give `scale`")
    return float(scale) if scale is not None else 1 / math.sqrt(features) if features else 1.0
