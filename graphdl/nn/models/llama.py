"""Llama: a decoder with root mean square norms, rotary positions, gated feed-forward and grouped queries. Touvron et al. 2023.

Parameters have the names and layouts of Hugging Face's `LlamaForCausalLM`: model.layers.0.self_attn.q_proj.weight ...
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...errors import ShapeError
from ...ir import Tensor
from ...ops.activation import silu
from ...ops.shape import reshape, swapaxes
from .. import init
from ..attention import scaled_dot_product_attention
from ..container import ModuleList
from ..embedding import Embedding
from ..linear import Linear
from ..module import Module, told
from ..normalization import RMSNorm
from ..positions import rotary
from .cache import CachePass
from .language import LanguageModel


def llama(
    vocab_size: int = 32000,
    hidden_size: int = 4096,
    intermediate_size: int = 11008,
    num_hidden_layers: int = 32,
    num_attention_heads: int = 32,
    num_key_value_heads: int | None = None,
    max_position_embeddings: int = 2048,
    rms_norm_eps: float = 1e-6,
    rope_theta: float = 10000.0,
    tie_word_embeddings: bool = False,
    dtype: Any = "float32",
) -> Llama:
    """A Llama of these sizes, that of 7 billion parameters unless given; as many heads of keys as of queries unless given.

    Raises ShapeError where heads do not divide the features, or those of keys do not divide those of queries.
    """
    groups = num_key_value_heads or num_attention_heads
    if num_attention_heads < 1 or hidden_size % num_attention_heads or num_attention_heads % groups:
        raise ShapeError(f"{told('llama')}: hidden_size={hidden_size}, {num_attention_heads} heads of queries and {groups} of keys do not divide in turn")
    sizes = hidden_size, intermediate_size, num_attention_heads, groups
    layers = [Layer(*sizes, rms_norm_eps, rope_theta, dtype) for _ in range(num_hidden_layers)]
    made = Llama(Decoder(vocab_size, hidden_size, layers, rms_norm_eps, dtype), vocab_size, hidden_size, max_position_embeddings, dtype)
    for name, tensor in made.named_parameters():
        if not name.endswith("norm.weight"):
            init.normal_(tensor, 0.0, 0.02)
    if tie_word_embeddings:
        made.lm_head.weight = made.model.embed_tokens.weight
    return made


class SelfAttention(Module):
    """Causal attention of a sequence (N, L, features) to itself, with queries and keys turned by their positions."""

    def __init__(self, features: int, heads: int, groups: int, base: float, dtype: Any) -> None:
        self.size = features // heads
        self.base = base
        self.q_proj = Linear(features, heads * self.size, bias=False, dtype=dtype)
        self.k_proj = Linear(features, groups * self.size, bias=False, dtype=dtype)
        self.v_proj = Linear(features, groups * self.size, bias=False, dtype=dtype)
        self.o_proj = Linear(heads * self.size, features, bias=False, dtype=dtype)

    def forward(self, x: Tensor, cache: CachePass | None = None) -> Tensor:
        projections = self.q_proj, self.k_proj, self.v_proj
        query, key, value = (swapaxes(reshape(project(x), (*x.shape[:2], -1, self.size)), 1, 2) for project in projections)
        positions = None if cache is None else cache.positions(x.shape[1])
        query, key = rotary(query, positions, self.base), rotary(key, positions, self.base)
        key, value, mask = (key, value, None) if cache is None else cache.extend(key, value)
        mixed = scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None, enable_gqa=True)
        return self.o_proj(reshape(swapaxes(mixed, 1, 2), x.shape))


class FeedForward(Module):
    """SwiGLU: silu(x G) * (x U), then D. Shazeer 2020."""

    def __init__(self, features: int, inner: int, dtype: Any) -> None:
        self.gate_proj = Linear(features, inner, bias=False, dtype=dtype)
        self.up_proj = Linear(features, inner, bias=False, dtype=dtype)
        self.down_proj = Linear(inner, features, bias=False, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(Module):
    """Attention and feed-forward, each behind a norm and added to its input."""

    def __init__(self, features: int, inner: int, heads: int, groups: int, epsilon: float, base: float, dtype: Any) -> None:
        self.self_attn = SelfAttention(features, heads, groups, base, dtype)
        self.mlp = FeedForward(features, inner, dtype)
        self.input_layernorm = RMSNorm(features, epsilon, dtype=dtype)
        self.post_attention_layernorm = RMSNorm(features, epsilon, dtype=dtype)

    def forward(self, x: Tensor, cache: CachePass | None = None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(Module):
    """Embeddings of tokens, the layers, and a norm."""

    def __init__(self, vocabulary: int, features: int, layers: Iterable[Layer], epsilon: float, dtype: Any) -> None:
        self.embed_tokens = Embedding(vocabulary, features, dtype=dtype)
        self.layers = ModuleList(layers)
        self.norm = RMSNorm(features, epsilon, dtype=dtype)

    def forward(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        x = self.embed_tokens(input_ids)
        for layer in self.layers:
            x = layer(x, cache)
        return self.norm(x)


class Llama(LanguageModel):
    """`llama` makes it."""

    def __init__(self, model: Decoder, vocabulary: int, features: int, context: int, dtype: Any) -> None:
        self.vocabulary = vocabulary
        self.context = context
        self.model = model
        self.lm_head = Linear(features, vocabulary, bias=False, dtype=dtype)

    def hidden(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        return self.model(input_ids, cache)
