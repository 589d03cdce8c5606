"""The parts of a U-Net: residual blocks that are told the time, transformers over places, and levels of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir import Tensor
from ...ops.activation import gelu, silu
from ...ops.join import concatenate, split
from ...ops.shape import expand_dims, reshape, swapaxes
from ...record import record
from ..attention import scaled_dot_product_attention
from ..container import ModuleList
from ..convolution import Conv2d
from ..dropout import Dropout
from ..linear import Linear
from ..module import Module
from ..normalization import GroupNorm, LayerNorm
from ..resizing import interpolate


@record
class Block:
    """What all blocks share: features of the time, residual blocks in a level, features of the context, heads, groups, dropout, dtype."""

    time: int
    layers: int
    context: int | None
    heads: int
    groups: int
    dropout: float
    dtype: Any


class ResidualBlock(Module):
    """Two convolutions (N, inputs, H, W) to (N, outputs, H, W), each behind a norm and a SiLU, with the time added between them."""

    def __init__(self, inputs: int, outputs: int, shape: Block) -> None:
        self.norm1 = GroupNorm(shape.groups, inputs, dtype=shape.dtype)
        self.conv1 = Conv2d(inputs, outputs, 3, padding=1, dtype=shape.dtype)
        self.time_emb_proj = Linear(shape.time, outputs, dtype=shape.dtype)
        self.norm2 = GroupNorm(shape.groups, outputs, dtype=shape.dtype)
        self.dropout = Dropout(shape.dropout)
        self.conv2 = Conv2d(outputs, outputs, 3, padding=1, dtype=shape.dtype)
        self.conv_shortcut = None if inputs == outputs else Conv2d(inputs, outputs, 1, dtype=shape.dtype)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        told = expand_dims(expand_dims(self.time_emb_proj(silu(time)), 2), 3)
        found = self.conv1(silu(self.norm1(x))) + told
        found = self.conv2(self.dropout(silu(self.norm2(found))))
        return found + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(Module):
    """Attention of x (N, L, features) to itself or to a context (N, S, features of the context)."""

    def __init__(self, features: int, context: int, shape: Block) -> None:
        self.heads = shape.heads
        self.to_q = Linear(features, features, bias=False, dtype=shape.dtype)
        self.to_k = Linear(context, features, bias=False, dtype=shape.dtype)
        self.to_v = Linear(context, features, bias=False, dtype=shape.dtype)
        self.to_out = ModuleList([Linear(features, features, dtype=shape.dtype), Dropout(shape.dropout)])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        read = x if context is None else context
        projected = self.to_q(x), self.to_k(read), self.to_v(read)
        query, key, value = (swapaxes(reshape(one, (*one.shape[:2], self.heads, one.shape[2] // self.heads)), 1, 2) for one in projected)
        mixed = reshape(swapaxes(scaled_dot_product_attention(query, key, value), 1, 2), projected[0].shape)
        for module in self.to_out:
            mixed = module(mixed)
        return mixed


class Gate(Module):
    """GEGLU: half of the features of a linear map, times the GELU of the other half. Shazeer 2020."""

    def __init__(self, features: int, inner: int, dtype: Any) -> None:
        self.proj = Linear(features, 2 * inner, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = split(self.proj(x), 2, -1)
        return value * gelu(gate)


class FeedForward(Module):
    """A gated linear map to four times the features, and one back."""

    def __init__(self, features: int, shape: Block) -> None:
        inner = 4 * features
        self.net = ModuleList([Gate(features, inner, shape.dtype), Dropout(shape.dropout), Linear(inner, features, dtype=shape.dtype)])

    def forward(self, x: Tensor) -> Tensor:
        for module in self.net:
            x = module(x)
        return x


class TransformerBlock(Module):
    """Attention to itself and to the context, and feed-forward, each behind a norm and added to its input."""

    def __init__(self, features: int, shape: Block) -> None:
        self.norm1 = LayerNorm(features, dtype=shape.dtype)
        self.attn1 = Attention(features, features, shape)
        self.norm2 = None if shape.context is None else LayerNorm(features, dtype=shape.dtype)
        self.attn2 = None if shape.context is None else Attention(features, shape.context, shape)
        self.norm3 = LayerNorm(features, dtype=shape.dtype)
        self.ff = FeedForward(features, shape)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        if self.norm2 is not None and self.attn2 is not None:
            x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Attended(Module):
    """A transformer block over the places of x (N, features, H, W), added to it."""

    def __init__(self, features: int, shape: Block) -> None:
        self.norm = GroupNorm(shape.groups, features, eps=1e-6, dtype=shape.dtype)
        self.proj_in = Conv2d(features, features, 1, dtype=shape.dtype)
        self.transformer_blocks = ModuleList([TransformerBlock(features, shape)])
        self.proj_out = Conv2d(features, features, 1, dtype=shape.dtype)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        n, features, height, width = x.shape
        places = swapaxes(reshape(self.proj_in(self.norm(x)), (n, features, height * width)), 1, 2)
        for block in self.transformer_blocks:
            places = block(places, context)
        return self.proj_out(reshape(swapaxes(places, 1, 2), x.shape)) + x


class Resized(Module):
    """A convolution that halves the places, or one behind their repetition, under the name that both have."""

    def __init__(self, width: int, stride: int, dtype: Any) -> None:
        self.conv = Conv2d(width, width, 3, stride, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Level(Module):
    """Residual blocks of one width, with transformers where asked for, and the step to the next level: down, up or none."""

    def __init__(self, inputs: Sequence[int], width: int, attention: bool, step: str | None, shape: Block) -> None:
        if attention:
            self.attentions = ModuleList(Attended(width, shape) for _ in inputs)
        self.resnets = ModuleList(ResidualBlock(size, width, shape) for size in inputs)
        if step is not None:
            setattr(self, f"{step}samplers", ModuleList([Resized(width, 2 if step == "down" else 1, shape.dtype)]))

    def down(self, x: Tensor, time: Tensor, context: Tensor | None, seen: list[Tensor]) -> Tensor:
        """Down to the next level. What is to be joined on the way up is appended to `seen`."""
        with self._scope():
            for k in range(len(self.resnets)):
                x = self._block(k, x, time, context)
                seen.append(x)
            for step in getattr(self, "downsamplers", ()):
                x = step(x)
                seen.append(x)
        return x

    def up(self, x: Tensor, time: Tensor, context: Tensor | None, seen: list[Tensor]) -> Tensor:
        """Up to the next level, whose places are those of the last one of `seen`. What is joined is taken from there."""
        with self._scope():
            for k in range(len(self.resnets)):
                x = self._block(k, concatenate([x, seen.pop()], 1), time, context)
            for step in getattr(self, "upsamplers", ()):
                x = step(interpolate(x, size=seen[-1].shape[2:]))
        return x

    def _block(self, k: int, x: Tensor, time: Tensor, context: Tensor | None) -> Tensor:
        x = self.resnets[k](x, time)
        return self.attentions[k](x, context) if hasattr(self, "attentions") else x
