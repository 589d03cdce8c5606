"""Layers of the transformer, encoder and decoder. Vaswani et al. 2017; norms first as in Xiong et al. 2020."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ir import Tensor
from ..ops.activation import gelu
from ..ops.elementwise import describe
from ..ops.rectifier import relu
from ..ops.select import where
from ..ops.source import Iota, full
from ..sizes import Dim
from ..types import Shape, as_dim, dtype_name
from . import init
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .multihead import MultiheadAttention
from .normalization import LayerNorm

Activation = str | Callable[[Tensor], Tensor]


class _Layer(Module):
    """The base of both layers: attention to itself, two linear maps with an activation between, norms and dropout."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = "float32",
    ) -> None:
        attention = {"dropout": dropout, "bias": bias, "batch_first": batch_first, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        self._add_attention(d_model, nhead, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype)
        self.norm_first = norm_first
        for k in range(1, self.residuals + 1):
            setattr(self, f"norm{k}", LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for k in range(1, self.residuals + 1):
            setattr(self, f"dropout{k}", Dropout(dropout))
        self.activation = _function(activation)

    residuals: int

    def _add_attention(self, d_model: int, nhead: int, options: dict[str, Any]) -> None:
        """Make the attention that only some layers have."""

    def _residual(self, position: int, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """x plus what `change` makes of it, with the norm of that position before it or behind the sum."""
        norm, dropout = getattr(self, f"norm{position}"), getattr(self, f"dropout{position}")
        result: Tensor = x + dropout(change(norm(x))) if self.norm_first else norm(x + dropout(change(x)))
        return result

    def _feed_forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return result


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, then two linear maps, each added to its input and normalised.

    `activation` is "relu", "gelu" or a function. With `norm_first` the norms stand before attention and maps.
    """

    residuals = 2

    def forward(self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """src (L, N, d_model), or N first with `batch_first`; masks as in `MultiheadAttention`. The same shape comes out."""

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)[0]

        return self._residual(2, self._residual(1, src, attend), self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Attention of a sequence to itself, then to a memory, then two linear maps, each added to its input and normalised."""

    residuals = 3

    def _add_attention(self, d_model: int, nhead: int, options: dict[str, Any]) -> None:
        self.multihead_attn = MultiheadAttention(d_model, nhead, **options)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt (L, N, d_model) and memory (S, N, d_model), or N first with `batch_first`. The shape of tgt comes out."""

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)[0]

        def remember(x: Tensor) -> Tensor:
            found = self.multihead_attn(x, memory, memory, memory_key_padding_mask, False, memory_mask, is_causal=memory_is_causal)
            return found[0]

        x = self._residual(2, self._residual(1, tgt, attend), remember)
        return self._residual(3, x, self._feed_forward)


class TransformerEncoder(Module):
    """`num_layers` copies of a layer, one after another, then `norm`. All start from the layer's values, as in PyTorch.

    The last two arguments are taken for PyTorch's sake: they concern how it runs.
    """

    def __init__(
        self,
        encoder_layer: TransformerEncoderLayer,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool | None = None) -> Tensor:
        """The layers' `forward` in turn. `is_causal` is False unless given: a causal mask is used as any other."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """`num_layers` copies of a layer, one after another, then `norm`. All start from the layer's values, as in PyTorch."""

    def __init__(self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None) -> None:
        self.layers = ModuleList(copy.deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The layers' `forward` in turn."""
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder of layers, each with a norm at its end. Matrices start Xavier-uniform."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = "float32",
    ) -> None:
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, dtype)
        norms = [LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype) for _ in range(2)]
        self.encoder = custom_encoder or TransformerEncoder(TransformerEncoderLayer(*options), num_encoder_layers, norms[0])
        self.decoder = custom_decoder or TransformerDecoder(TransformerDecoderLayer(*options), num_decoder_layers, norms[1])
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        for tensor in self.parameters():
            if tensor.ndim > 1:
                init.xavier_uniform_(tensor)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """src (S, N, d_model) and tgt (L, N, d_model), or N first with `batch_first`. The shape of tgt comes out."""
        for name, x in (("src", src), ("tgt", tgt)):
            if x.ndim not in (2, 3) or x.ndim != src.ndim or (isinstance(x.shape[-1], int) and x.shape[-1] != self.d_model):
                raise ShapeError(f"Transformer: {name} {describe(x)} needs {self.d_model} features on its last axis, and a batch if the other has one")
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self.decoder(tgt, memory, *masks, tgt_is_causal, memory_is_causal)

    @staticmethod
    def generate_square_subsequent_mask(sz: Dim | str, dtype: Any = "float32") -> Tensor:
        """0 up to the diagonal and -inf above it, (sz, sz): an additive mask that hides later keys. `sz` may be symbolic."""
        size, name = as_dim(sz), dtype_name(dtype)
        shape: Shape = (size, size)
        later = Iota(shape, 1, "int64")() > Iota(shape, 0, "int64")()
        return where(later, full(shape, -np.inf, name), full(shape, 0, name))


def _function(activation: Activation) -> Callable[[Tensor], Tensor]:
    """The function of that name. Raises ValueError for another name than relu and gelu."""
    if not isinstance(activation, str):
        return activation
    known: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "gelu": gelu}
    if activation not in known:
        raise ValueError(f"activation is relu, gelu or a function, not {activation!r}")
    return known[activation]
