"""GPT-2: a decoder of pre-norm layers with learned positions. Radford et al. 2019.

Parameters have the names and layouts of Hugging Face's `GPT2LMHeadModel`: transformer.h.0.attn.c_attn.weight ...
"""

from __future__ import annotations

import math
from typing import Any

from ...errors import ShapeError
from ...ir import Tensor
from ...ops.activation import gelu
from ...ops.matmul import matmul
from ...ops.shape import reshape, swapaxes
from .. import init
from ..attention import scaled_dot_product_attention
from ..container import ModuleList
from ..dropout import Dropout
from ..embedding import Embedding
from ..linear import Linear
from ..module import Module, told
from ..normalization import LayerNorm
from .cache import CachePass
from .language import LanguageModel


def gpt(
    vocab_size: int = 50257,
    n_positions: int = 1024,
    n_embd: int = 768,
    n_layer: int = 12,
    n_head: int = 12,
    n_inner: int | None = None,
    dropout: float = 0.1,
    layer_norm_epsilon: float = 1e-5,
    dtype: Any = "float32",
) -> GPT:
    """A GPT-2 of these sizes, the smallest published one unless given; `n_inner` is 4 `n_embd`. Raises ShapeError."""
    if n_head < 1 or n_embd % n_head:
        raise ShapeError(f"{told('gpt')}: {n_head} heads do not divide n_embd={n_embd}")
    return GPT(vocab_size, n_positions, n_embd, n_layer, n_head, n_inner or 4 * n_embd, dropout, layer_norm_epsilon, dtype)


class Conv1D(Module):
    """y = x W + b as GPT-2 stores it: `weight` is (inputs, outputs)."""

    def __init__(self, outputs: int, inputs: int, deviation: float = 0.02, dtype: Any = "float32") -> None:
        self.weight = init.normal_(init.blank("weight", (inputs, outputs), dtype), 0.0, deviation)
        self.bias = init.blank("bias", (outputs,), dtype)

    def forward(self, x: Tensor) -> Tensor:
        return matmul(x, self.weight) + self.bias


class SelfAttention(Module):
    """Causal attention of a sequence (N, L, features) to itself."""

    def __init__(self, features: int, heads: int, dropout: float, deviation: float, dtype: Any) -> None:
        self.heads = heads
        self.dropout = dropout
        self.c_attn = Conv1D(3 * features, features, dtype=dtype)
        self.c_proj = Conv1D(features, features, deviation, dtype)
        self.resid_dropout = Dropout(dropout)

    def forward(self, x: Tensor, cache: CachePass | None = None) -> Tensor:
        packed, features = self.c_attn(x), x.shape[2]
        parts = [packed[..., k * features : (k + 1) * features] for k in range(3)]
        query, key, value = (swapaxes(reshape(part, (*x.shape[:2], self.heads, -1)), 1, 2) for part in parts)
        key, value, is_causal = (key, value, True) if cache is None else cache.extend(key, value)
        mixed = scaled_dot_product_attention(query, key, value, None, self.dropout, is_causal=is_causal)
        return self.resid_dropout(self.c_proj(reshape(swapaxes(mixed, 1, 2), x.shape)))


class FeedForward(Module):
    """Two linear maps with a GELU, in its tanh form, between them."""

    def __init__(self, features: int, inner: int, dropout: float, deviation: float, dtype: Any) -> None:
        self.c_fc = Conv1D(inner, features, dtype=dtype)
        self.c_proj = Conv1D(features, inner, deviation, dtype)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(gelu(self.c_fc(x), "tanh")))


class Block(Module):
    """Attention and feed-forward, each behind a norm and added to its input."""

    def __init__(self, features: int, heads: int, inner: int, dropout: float, epsilon: float, deviation: float, dtype: Any) -> None:
        self.ln_1 = LayerNorm(features, epsilon, dtype=dtype)
        self.attn = SelfAttention(features, heads, dropout, deviation, dtype)
        self.ln_2 = LayerNorm(features, epsilon, dtype=dtype)
        self.mlp = FeedForward(features, inner, dropout, deviation, dtype)

    def forward(self, x: Tensor, cache: CachePass | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class Decoder(Module):
    """Embeddings of tokens and positions, the blocks, and a norm."""

    def __init__(self, vocabulary: int, context: int, features: int, layers: int, heads: int, inner: int, dropout: float, epsilon: float, dtype: Any) -> None:
        deviation = 0.02 / math.sqrt(2 * layers) if layers else 0.02  # of maps that add to the residual stream
        self.wte = Embedding(vocabulary, features, dtype=dtype)
        self.wpe = Embedding(context, features, dtype=dtype)
        for embedding in (self.wte, self.wpe):
            init.normal_(embedding.weight, 0.0, 0.02)
        self.drop = Dropout(dropout)
        self.h = ModuleList(Block(features, heads, inner, dropout, epsilon, deviation, dtype) for _ in range(layers))
        self.ln_f = LayerNorm(features, epsilon, dtype=dtype)

    def forward(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        length = input_ids.shape[1]
        places = self.wpe.weight[:length] if cache is None else self.wpe(cache.positions(length))
        x = self.drop(self.wte(input_ids) + places)
        for block in self.h:
            x = block(x, cache)
        return self.ln_f(x)


class GPT(LanguageModel):
    """`gpt` makes it. `lm_head.weight` is `transformer.wte.weight`: one array, trained from both ends (Press, Wolf 2017)."""

    def __init__(self, vocabulary: int, context: int, features: int, layers: int, heads: int, inner: int, dropout: float, epsilon: float, dtype: Any) -> None:
        self.vocabulary = vocabulary
        self.context = context
        self.transformer = Decoder(vocabulary, context, features, layers, heads, inner, dropout, epsilon, dtype)
        self.lm_head = Linear(features, vocabulary, bias=False, dtype=dtype)
        self.lm_head.weight = self.transformer.wte.weight

    def hidden(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        return self.transformer(input_ids, cache)
