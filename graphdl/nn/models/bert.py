"""BERT: an encoder of post-norm layers with learned positions. Devlin et al. 2019.

Parameters have the names and layouts of Hugging Face's `BertModel`: encoder.layer.0.attention.self.query.weight ...
"""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError, TypeRuleError
from ...ir import Tensor
from ...ops.activation import gelu, tanh
from ...ops.elementwise import describe
from ...ops.rectifier import clip, relu
from ...ops.shape import expand_dims, reshape, swapaxes
from ...types import is_integer
from .. import init
from ..attention import scaled_dot_product_attention
from ..container import ModuleList
from ..dropout import Dropout
from ..embedding import Embedding
from ..linear import Linear
from ..module import Module, told
from ..normalization import LayerNorm

ACTIVATIONS = {"gelu": gelu, "gelu_new": lambda x: gelu(x, "tanh"), "relu": relu}


def bert(
    vocab_size: int = 30522,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3072,
    max_position_embeddings: int = 512,
    type_vocab_size: int = 2,
    hidden_act: str = "gelu",
    dropout: float = 0.1,
    layer_norm_eps: float = 1e-12,
    add_pooling_layer: bool = True,
    dtype: Any = "float32",
) -> BERT:
    """A BERT of these sizes, the base one unless given. `hidden_act` is gelu, gelu_new (in its tanh form) or relu.

    Raises ShapeError where heads do not divide the features, ValueError for another activation.
    """
    if num_attention_heads < 1 or hidden_size % num_attention_heads:
        raise ShapeError(f"{told('bert')}: {num_attention_heads} heads do not divide hidden_size={hidden_size}")
    if hidden_act not in ACTIVATIONS:
        raise ValueError(f"{told('bert')}: hidden_act is {', '.join(ACTIVATIONS)}, not {hidden_act!r}")
    sizes = hidden_size, num_attention_heads, intermediate_size
    layers = [Layer(*sizes, hidden_act, dropout, layer_norm_eps, dtype) for _ in range(num_hidden_layers)]
    embeddings = Embeddings(vocab_size, max_position_embeddings, type_vocab_size, hidden_size, dropout, layer_norm_eps, dtype)
    made = BERT(embeddings, layers, Pooler(hidden_size, dtype) if add_pooling_layer else None)
    for name, tensor in made.named_parameters():
        if name.endswith("bias"):
            init.zeros_(tensor)
        elif "LayerNorm" not in name:
            init.normal_(tensor, 0.0, 0.02)
    return made


def sentence_embedding(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean of the features (N, L, features) of the tokens whose mask (N, L) is not 0, of length 1: (N, features).

    Reimers, Gurevych 2019. A row without tokens gives zeros.
    """
    seen = expand_dims(attention_mask.astype(hidden.dtype), -1)
    mean = (hidden * seen).sum(axis=1) / clip(seen.sum(axis=1), 1e-9, None)
    length: Tensor = (mean * mean).sum(axis=-1, keepdims=True).sqrt()
    return mean / clip(length, 1e-12, None)


class Embeddings(Module):
    """The sum of embeddings of tokens, their places and their segments, normalised."""

    def __init__(self, vocabulary: int, context: int, segments: int, features: int, dropout: float, epsilon: float, dtype: Any) -> None:
        self.word_embeddings = Embedding(vocabulary, features, dtype=dtype)
        self.position_embeddings = Embedding(context, features, dtype=dtype)
        self.token_type_embeddings = Embedding(segments, features, dtype=dtype)
        self.LayerNorm = LayerNorm(features, epsilon, dtype=dtype)
        self.dropout = Dropout(dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        segments = self.token_type_embeddings.weight[0] if token_type_ids is None else self.token_type_embeddings(token_type_ids)
        places = self.position_embeddings.weight[: input_ids.shape[1]]
        return self.dropout(self.LayerNorm(self.word_embeddings(input_ids) + segments + places))


class SelfAttention(Module):
    """Attention of a sequence (N, L, features) to itself, in heads."""

    def __init__(self, features: int, heads: int, dropout: float, dtype: Any) -> None:
        self.heads = heads
        self.dropout = dropout
        self.query = Linear(features, features, dtype=dtype)
        self.key = Linear(features, features, dtype=dtype)
        self.value = Linear(features, features, dtype=dtype)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        parts = (project(x) for project in (self.query, self.key, self.value))
        query, key, value = (swapaxes(reshape(part, (*x.shape[:2], self.heads, -1)), 1, 2) for part in parts)
        mixed = scaled_dot_product_attention(query, key, value, mask, self.dropout)
        return reshape(swapaxes(mixed, 1, 2), x.shape)


class Output(Module):
    """A linear map back to the features, added to what came in before, and normalised."""

    def __init__(self, inputs: int, features: int, dropout: float, epsilon: float, dtype: Any) -> None:
        self.dense = Linear(inputs, features, dtype=dtype)
        self.LayerNorm = LayerNorm(features, epsilon, dtype=dtype)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class Attention(Module):
    """Attention to itself and the map behind it."""

    def __init__(self, features: int, heads: int, dropout: float, epsilon: float, dtype: Any) -> None:
        self.self = SelfAttention(features, heads, dropout, dtype)
        self.output = Output(features, features, dropout, epsilon, dtype)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(x, mask), x)


class Intermediate(Module):
    """A linear map to more features and an activation."""

    def __init__(self, features: int, inner: int, activation: str, dtype: Any) -> None:
        self.dense = Linear(features, inner, dtype=dtype)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](self.dense(x))


class Layer(Module):
    """Attention and feed-forward, each added to its input and normalised."""

    def __init__(self, features: int, heads: int, inner: int, activation: str, dropout: float, epsilon: float, dtype: Any) -> None:
        self.attention = Attention(features, heads, dropout, epsilon, dtype)
        self.intermediate = Intermediate(features, inner, activation, dtype)
        self.output = Output(inner, features, dropout, epsilon, dtype)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class Encoder(Module):
    """The layers, one after another."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layer = ModuleList(layers)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Pooler(Module):
    """tanh of a linear map of the first token's features."""

    def __init__(self, features: int, dtype: Any) -> None:
        self.dense = Linear(features, features, dtype=dtype)

    def forward(self, hidden: Tensor) -> Tensor:
        return tanh(self.dense(hidden[:, 0]))


class BERT(Module):
    """`bert` makes it. `pooler` is None where it was made without."""

    def __init__(self, embeddings: Embeddings, layers: list[Layer], pooler: Pooler | None) -> None:
        self.embeddings = embeddings
        self.encoder = Encoder(layers)
        self.pooler = pooler

    @property
    def context(self) -> int:
        """The largest number of positions."""
        return self.embeddings.position_embeddings.num_embeddings

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None) -> Tensor:
        """The last layer's features (N, L, features) for token numbers (N, L). Keys whose `attention_mask` (N, L) is 0 are not seen.

        `token_type_ids` (N, L) are the tokens' segments, all 0 unless given. Raises TypeRuleError, ShapeError.
        """
        for x in (input_ids, attention_mask, token_type_ids):
            if x is not None and not is_integer(x.dtype):
                raise TypeRuleError(f"BERT: {describe(x)} must be integers")
            if x is not None and (x.ndim != 2 or (isinstance(x.shape[1], int) and x.shape[1] > self.context)):
                raise ShapeError(f"BERT: {describe(x)} must be (N, L) with L of at most {self.context}")
        seen = None if attention_mask is None else expand_dims(expand_dims(attention_mask != 0, 1), 1)
        return self.encoder(self.embeddings(input_ids, token_type_ids), seen)
