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
    size = hidden_size // num_attention_heads

    def linear(inputs: int, outputs: int) -> Linear:
        return Linear(inputs, outputs, bias=False, dtype=dtype)

    def norm() -> RMSNorm:
        return RMSNorm(hidden_size, rms_norm_eps, dtype=dtype)

    def layer() -> Layer:
        query, key, value = (linear(hidden_size, heads * size) for heads in (num_attention_heads, groups, groups))
        attention = SelfAttention(size, rope_theta, query, key, value, linear(hidden_size, hidden_size))
        gates = linear(hidden_size, intermediate_size), linear(hidden_size, intermediate_size)
        return Layer(attention, FeedForward(*gates, linear(intermediate_size, hidden_size)), norm(), norm())

    embedding = Embedding(vocab_size, hidden_size, dtype=dtype)
    decoder = Decoder(embedding, [layer() for _ in range(num_hidden_layers)], norm())
    head = linear(hidden_size, vocab_size)
    made = Llama(decoder, head, vocab_size, max_position_embeddings)
    for name, tensor in made.named_parameters():
        if not name.endswith("norm.weight"):
            init.normal_(tensor, 0.0, 0.02)
    if tie_word_embeddings:
        head.weight = embedding.weight
    return made


class SelfAttention(Module):
    """Causal attention of a sequence (N, L, features) to itself, with queries and keys turned by their positions.

    The modules project features to queries, keys and values of heads of `size` features, and what they mix to back.
    """

    def __init__(self, size: int, base: float, query: Module, key: Module, value: Module, output: Module) -> None:
        self.size = size
        self.base = base
        self.q_proj = query
        self.k_proj = key
        self.v_proj = value
        self.o_proj = output

    def forward(self, x: Tensor, cache: CachePass | None = None) -> Tensor:
        projections = self.q_proj, self.k_proj, self.v_proj
        query, key, value = (swapaxes(reshape(project(x), (*x.shape[:2], -1, self.size)), 1, 2) for project in projections)
        positions = None if cache is None else cache.positions(x.shape[1])
        query, key = rotary(query, positions, self.base), rotary(key, positions, self.base)
        key, value, is_causal = (key, value, True) if cache is None else cache.extend(key, value)
        mixed = scaled_dot_product_attention(query, key, value, is_causal=is_causal, enable_gqa=True)
        result: Tensor = self.o_proj(reshape(swapaxes(mixed, 1, 2), (*x.shape[:2], -1)))
        return result


class FeedForward(Module):
    """SwiGLU: silu(x G) * (x U), then D. Shazeer 2020."""

    def __init__(self, gate: Module, up: Module, down: Module) -> None:
        self.gate_proj = gate
        self.up_proj = up
        self.down_proj = down

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
        return result


class Layer(Module):
    """Attention and feed-forward, each behind a norm and added to its input."""

    def __init__(self, attention: SelfAttention, feed_forward: FeedForward, attention_norm: RMSNorm, feed_forward_norm: RMSNorm) -> None:
        self.self_attn = attention
        self.mlp = feed_forward
        self.input_layernorm = attention_norm
        self.post_attention_layernorm = feed_forward_norm

    def forward(self, x: Tensor, cache: CachePass | None = None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cache)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class Decoder(Module):
    """Embeddings of tokens, the layers, and a norm."""

    def __init__(self, embedding: Module, layers: Iterable[Layer], norm: RMSNorm) -> None:
        self.embed_tokens = embedding
        self.layers = ModuleList(layers)
        self.norm = norm

    def forward(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        x = self.embed_tokens(input_ids)
        for layer in self.layers:
            x = layer(x, cache)
        result: Tensor = self.norm(x)
        return result


class Llama(LanguageModel):
    """`llama` makes it, with weights to train."""

    def __init__(self, model: Decoder, head: Module, vocabulary: int, context: int) -> None:
        self.vocabulary = vocabulary
        self.context = context
        self.model = model
        self.lm_head = head

    def hidden(self, input_ids: Tensor, cache: CachePass | None = None) -> Tensor:
        result: Tensor = self.model(input_ids, cache)
        return result
