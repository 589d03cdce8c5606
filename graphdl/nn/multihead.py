"""Attention in several heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.attention import Attention
from ..ops.dropout import Dropout
from ..ops.elementwise import describe
from ..ops.join import concatenate
from ..ops.pad import Pad
from ..ops.select import where
from ..ops.shape import broadcast_to, expand_dims, reshape, swapaxes
from ..ops.source import full
from ..sizes import Dim
from ..types import TensorType, is_floating
from . import init
from .attention import prepared
from .linear import Linear, linear
from .module import Module, told


class MultiheadAttention(Module):
    """Attention in `num_heads` parts of the features, between linear maps. Vaswani et al. 2017, section 3.2.2.

    `in_proj_weight` is (3 embed_dim, embed_dim), for queries, keys and values in this order; with `kdim` or `vdim` there are
    `q_proj_weight`, `k_proj_weight` (embed_dim, kdim) and `v_proj_weight` (embed_dim, vdim) instead. `add_bias_kv` appends a
    learned key and value, `add_zero_attn` ones of zeros. Raises ShapeError where the heads do not divide the features.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: Any = "float32",
    ) -> None:
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads:
            raise ShapeError(f"{told(type(self).__name__)}: {num_heads} heads do not divide embed_dim={embed_dim}")
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.add_zero_attn = add_zero_attn
        self.batch_first = batch_first
        sizes = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight: Tensor | None = init.xavier_uniform_(init.blank("in_proj_weight", (3 * embed_dim, embed_dim), dtype))
        else:
            self.in_proj_weight = None
            for name, size in sizes.items():
                setattr(self, f"{name}_proj_weight", init.xavier_uniform_(init.blank(f"{name}_proj_weight", (embed_dim, size), dtype)))
        self.in_proj_bias = init.blank("in_proj_bias", (3 * embed_dim,), dtype) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)
        self.bias_k, self.bias_v = (init.xavier_normal_(init.blank(name, (1, 1, embed_dim), dtype)) if add_bias_kv else None for name in ("bias_k", "bias_v"))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, shaped as the query, and the weights: (N, L, S), or (N, num_heads, L, S) if not averaged.

        query is (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim); N comes first with `batch_first`, and is missing
        without a batch. `key_padding_mask` (N, S) and `attn_mask` (L, S) or (N num_heads, L, S) are boolean, True where a
        key is *not* seen, or floating and added. `is_causal` hides later keys, with or without a mask. Weights that nobody
        uses are not computed. Queries that see no key get weights of zero, where PyTorch has NaN if it returns weights.
        """
        batched = self._check(query, key, value)
        same = query is key is value
        operands = [self._batch_first(x, batched) for x in (query, key, value)]
        query, key, value = [operands[0]] * 3 if same else operands
        mask = self._mask(attn_mask, key_padding_mask, query, key, batched)
        q, k, v = self._projected(query, key, value)
        k, v, mask = self._extended(k, v, mask)
        heads = [swapaxes(reshape(x, (*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads)), 1, 2) for x in (q, k, v)]
        mixed, weights = _attend(heads, mask, self.dropout, is_causal)
        output = linear(reshape(swapaxes(mixed, 1, 2), q.shape), self.out_proj.weight, self.out_proj.bias)
        if average_attn_weights:
            weights = weights.mean(axis=1)
        if not batched:
            output, weights = output[0], weights[0]
        elif not self.batch_first:
            output = swapaxes(output, 0, 1)
        return output, weights if need_weights else None

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        """Whether there is a batch. Raises ShapeError for operands that do not fit the layer."""
        for name, x, size in (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim)):
            if x.ndim not in (2, 3) or x.ndim != query.ndim or (isinstance(x.shape[-1], int) and x.shape[-1] != size):
                layout = "(N, length, features)" if self.batch_first else "(length, N, features)"
                raise ShapeError(f"{type(self).__name__}: the {name} {describe(x)} needs {size} features and the layout {layout}, all with N or all without")
        return query.ndim == 3

    def _batch_first(self, x: Tensor, batched: bool) -> Tensor:
        return (x if self.batch_first else swapaxes(x, 0, 1)) if batched else expand_dims(x, 0)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        size = self.embed_dim
        if self.in_proj_weight is not None and query is key is value:
            packed = linear(query, self.in_proj_weight, self.in_proj_bias)
            return [packed[..., k * size : (k + 1) * size] for k in range(3)]
        parts = [slice(k * size, (k + 1) * size) for k in range(3)]
        weights = [getattr(self, f"{name}_proj_weight") for name in "qkv"] if self.in_proj_weight is None else [self.in_proj_weight[part] for part in parts]
        biases = [None if self.in_proj_bias is None else self.in_proj_bias[part] for part in parts]
        return [linear(x, weight, bias) for x, weight, bias in zip((query, key, value), weights, biases, strict=True)]

    def _mask(self, attn_mask: Tensor | None, padding: Tensor | None, query: Tensor, key: Tensor, batched: bool) -> Tensor | None:
        """Both masks as one, of the kind that `scaled_dot_product_attention` takes."""
        length, keys, batch = query.shape[1], key.shape[1], query.shape[0]
        masks: list[Tensor] = []
        if attn_mask is not None:
            stacked = attn_mask.ndim == 3
            wanted: Sequence[Dim] = (batch * self.num_heads, length, keys) if stacked else (length, keys)
            _check_mask("attn_mask", attn_mask, wanted, query)
            masks.append(reshape(attn_mask, (batch, self.num_heads, length, keys) if stacked else (1, 1, length, keys)))
        if padding is not None:
            _check_mask("key_padding_mask", padding, (batch, keys) if batched else (keys,), query)
            masks.append(reshape(padding, (batch, 1, 1, keys)))
        return _joined(masks, query.dtype)

    def _extended(self, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values with the learned one and that of zeros appended, which every query sees."""
        added = 0
        if self.bias_k is not None and self.bias_v is not None:
            key, value = (concatenate([x, broadcast_to(one, (x.shape[0], 1, self.embed_dim))], 1) for x, one in ((key, self.bias_k), (value, self.bias_v)))
            added += 1
        if self.add_zero_attn:
            key, value = (Pad((0, 0, 0), (0, 1, 0))(x) for x in (key, value))
            added += 1
        if mask is not None and added:
            seen = True if mask.dtype == "bool" else 0.0
            mask = Pad((0, 0, 0, 0), (0, 0, 0, added), seen)(mask)
        return key, value, mask

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}"


def _attend(heads: Sequence[Tensor], mask: Tensor | None, dropout: float, is_causal: bool) -> tuple[Tensor, Tensor]:
    """Attention's result, and the weights that it took, after dropout."""
    query, key, value = heads
    operands, options = prepared(query, key, value, mask, dropout, is_causal, None, False)
    op = Attention(**options)
    weights = op.weights(*operands)
    return op(*operands), Dropout(dropout)(weights, operands[-1]) if dropout else weights


def _check_mask(name: str, mask: Tensor, wanted: Sequence[Dim], query: Tensor) -> None:
    """Raise TypeRuleError for a mask that is neither bool nor floating, ShapeError for another shape than wanted."""
    if mask.dtype != "bool" and not is_floating(mask.dtype):
        raise TypeRuleError(f"MultiheadAttention: {name} {describe(mask)} is neither bool, True where a key is not seen, nor floating, to be added")
    unequal = any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(mask.shape, wanted, strict=False))
    if mask.ndim != len(wanted) or unequal:
        shape = TensorType(mask.dtype, tuple(wanted))
        raise ShapeError(f"MultiheadAttention: {name} {describe(mask)} must be {shape} for the query {describe(query)}")


def _joined(masks: Sequence[Tensor], dtype: str) -> Tensor | None:
    """Masks as one: boolean, True where all let a key be seen, if all are boolean; else their sum."""
    if not masks:
        return None
    if all(mask.dtype == "bool" for mask in masks):
        hidden = masks[0] if len(masks) == 1 else masks[0] | masks[1]
        return ~hidden
    added = [where(mask, full((), -np.inf, dtype), full((), 0, dtype)) if mask.dtype == "bool" else mask.astype(dtype) for mask in masks]
    total: Tensor = added[0] if len(added) == 1 else added[0] + added[1]
    return total
