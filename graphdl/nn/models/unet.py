"""U-Net: down to few places and up again, with what was seen on the way down joined on the way up. Ronneberger et al. 2015.

As diffusion models use it, with the time embedded (Ho et al. 2020) and attention to a context (Rombach et al. 2022). Parameters have
the names and layouts of diffusers' `UNet2DConditionModel`: down_blocks.0.resnets.0.conv1.weight, ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ShapeError, TypeRuleError
from ...ir import Tensor
from ...ops.activation import silu
from ...ops.elementwise import describe
from ...ops.join import concatenate
from ...ops.shape import broadcast_to, expand_dims
from ...ops.source import constant
from ..container import ModuleList
from ..convolution import Conv2d
from ..linear import Linear
from ..module import Module, told
from ..normalization import GroupNorm
from .unet_block import Attended, Block, Level, ResidualBlock


def unet(
    in_channels: int = 4,
    out_channels: int = 4,
    block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
    layers_per_block: int = 2,
    cross_attention_dim: int | None = 768,
    attention: Sequence[bool] | None = None,
    num_attention_heads: int = 8,
    norm_num_groups: int = 32,
    dropout: float = 0.0,
    dtype: Any = "float32",
) -> UNet:
    """A U-Net with one level for each of `block_out_channels`, that of Stable Diffusion 1 unless given.

    Levels where `attention` is true, all but the last unless given, have a transformer behind each residual block: attention of
    places to each other and, unless `cross_attention_dim` is None, to a context (N, S, cross_attention_dim). The bottom has one as well.
    Raises ShapeError where groups or heads do not divide channels, or there are not as many levels everywhere.
    """
    widths, attended = tuple(block_out_channels), _attended(block_out_channels, attention)
    if len(widths) != len(attended) or not widths or layers_per_block < 1:
        raise ShapeError(
            f"{told('unet')}: {len(widths)} levels of channels, {len(attended)} of attention, {layers_per_block} layers: as many levels are needed"
        )
    wrong = [width for width in widths if width % norm_num_groups or width % num_attention_heads or width % 2]
    if wrong:
        raise ShapeError(f"{told('unet')}: {norm_num_groups} groups, {num_attention_heads} heads and 2 do not all divide {wrong[0]} channels")
    shape = Block(4 * widths[0], layers_per_block, cross_attention_dim, num_attention_heads, norm_num_groups, dropout, dtype)
    return UNet(in_channels, out_channels, widths, attended, shape)


def _attended(widths: Sequence[int], attention: Sequence[bool] | None) -> tuple[bool, ...]:
    return tuple(k + 1 < len(widths) for k in range(len(widths))) if attention is None else tuple(attention)


def timestep_embedding(timestep: Tensor, features: int, dtype: Any = "float32") -> Tensor:
    """cos(t w_i) and then sin(t w_i), with w_i = 10000^(-2i / features), for times (N,): shape (N, features). Ho et al. 2020.

    Times may be integers or floating. Raises ShapeError for an odd number of features or times of another rank.
    """
    if features % 2 or timestep.ndim != 1:
        raise ShapeError(f"timestep_embedding: {describe(timestep)} must be (N,), and {features} features even")
    half = features // 2
    rates = constant(np.exp(-math.log(10000) * np.arange(half) / half), dtype)
    angles = expand_dims(timestep.astype(dtype), 1) * rates
    return concatenate([angles.cos(), angles.sin()], -1)


class TimeEmbedding(Module):
    """Two linear maps with a SiLU between them."""

    def __init__(self, features: int, inner: int, dtype: Any) -> None:
        self.linear_1 = Linear(features, inner, dtype=dtype)
        self.linear_2 = Linear(inner, inner, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(silu(self.linear_1(x)))


class Middle(Module):
    """The bottom: a residual block, attention, and another block."""

    def __init__(self, width: int, shape: Block) -> None:
        self.attentions = ModuleList([Attended(width, shape)])
        self.resnets = ModuleList([ResidualBlock(width, width, shape), ResidualBlock(width, width, shape)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None) -> Tensor:
        first, second = self.resnets
        (attention,) = self.attentions
        return second(attention(first(x, time), context), time)


class UNet(Module):
    """`unet` makes it. The result has the places of the sample, and `out_channels`."""

    def __init__(self, in_channels: int, out_channels: int, widths: tuple[int, ...], attention: tuple[bool, ...], shape: Block) -> None:
        self.in_channels = in_channels
        self.features = widths[0]
        self.cross_attention_dim = shape.context
        levels = len(widths)
        self.conv_in = Conv2d(in_channels, widths[0], 3, padding=1, dtype=shape.dtype)
        self.time_embedding = TimeEmbedding(widths[0], shape.time, shape.dtype)
        inputs = (widths[0], *widths)
        downs = [[inputs[k] if layer == 0 else widths[k] for layer in range(shape.layers)] for k in range(levels)]
        self.down_blocks = ModuleList(Level(downs[k], widths[k], attention[k], "down" if k + 1 < levels else None, shape) for k in range(levels))
        ups = _joined_widths(widths, shape.layers)
        order = range(levels - 1, -1, -1)
        self.up_blocks = ModuleList(Level(ups[k], widths[k], attention[k], "up" if k else None, shape) for k in order)
        self.mid_block = Middle(widths[-1], shape)
        self.conv_norm_out = GroupNorm(shape.groups, widths[0], dtype=shape.dtype)
        self.conv_out = Conv2d(widths[0], out_channels, 3, padding=1, dtype=shape.dtype)

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor | None = None) -> Tensor:
        """For sample (N, in_channels, H, W), timestep (N,) or a scalar, and the context (N, S, cross_attention_dim).

        Raises ShapeError or TypeRuleError for what does not fit.
        """
        self._check(sample, timestep, encoder_hidden_states)
        times = broadcast_to(timestep, (sample.shape[0],))
        time = self.time_embedding(timestep_embedding(times, self.features, sample.dtype))
        x = self.conv_in(sample)
        seen = [x]
        for level in self.down_blocks:
            assert isinstance(level, Level)
            x = level.down(x, time, encoder_hidden_states, seen)
        x = self.mid_block(x, time, encoder_hidden_states)
        for level in self.up_blocks:
            assert isinstance(level, Level)
            x = level.up(x, time, encoder_hidden_states, seen)
        return self.conv_out(silu(self.conv_norm_out(x)))

    def _check(self, sample: Tensor, timestep: Tensor, context: Tensor | None) -> None:
        if sample.ndim != 4 or (isinstance(sample.shape[1], int) and sample.shape[1] != self.in_channels):
            raise ShapeError(f"UNet: the sample {describe(sample)} must be (N, {self.in_channels}, H, W)")
        if timestep.ndim > 1:
            raise ShapeError(f"UNet: the timestep {describe(timestep)} must be (N,) or a scalar")
        if (context is None) != (self.cross_attention_dim is None):
            mend = "takes no context" if self.cross_attention_dim is None else f"needs a context (N, S, {self.cross_attention_dim})"
            raise TypeRuleError(f"UNet: with cross_attention_dim={self.cross_attention_dim} it {mend}")
        if context is not None and (context.ndim != 3 or context.shape[2] != self.cross_attention_dim):
            raise ShapeError(f"UNet: the context {describe(context)} must be (N, S, {self.cross_attention_dim})")


def _joined_widths(widths: tuple[int, ...], layers: int) -> list[list[int]]:
    """The channels that every residual block on the way up reads: those from below and those seen on the way down."""
    seen = [widths[0]]
    for k, width in enumerate(widths):
        seen += [width] * (layers + (k + 1 < len(widths)))
    found: list[list[int]] = [[] for _ in widths]
    held = widths[-1]
    for k in range(len(widths) - 1, -1, -1):
        for _ in range(layers + 1):
            found[k].append(held + seen.pop())
            held = widths[k]
    return found
