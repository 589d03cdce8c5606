"""The U-Net of `unet` in PyTorch; imported only where that is installed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class ResidualBlock(nn.Module):  # type: ignore[misc]
    """Two convolutions behind norms, with the time between them."""

    def __init__(self, inputs: int, outputs: int, time: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, outputs)
        self.norm2, self.conv2 = nn.GroupNorm(groups, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        found = self.conv1(functional.silu(self.norm1(x))) + self.time_emb_proj(functional.silu(time))[:, :, None, None]
        return self.conv2(functional.silu(self.norm2(found))) + self.conv_shortcut(x)


class Attention(nn.Module):  # type: ignore[misc]
    """Attention of places to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (one(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for one in (self.to_q, self.to_k, self.to_v))
        return self.to_out[0](functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Gate(nn.Module):  # type: ignore[misc]
    """GEGLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.proj(x).chunk(2, -1)
        return value * functional.gelu(gate)


class FeedForward(nn.Module):  # type: ignore[misc]
    """A gated map to four times the features, and one back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([Gate(width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net[2](self.net[0](x))


class TransformerBlock(nn.Module):  # type: ignore[misc]
    """Attention and feed-forward, each behind a norm and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn1, self.ff = Attention(width, heads), FeedForward(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn1(self.norm1(x))
        return x + self.ff(self.norm3(x))


class Attended(nn.Module):  # type: ignore[misc]
    """A transformer block over the places, added to them."""

    def __init__(self, width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, heads)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = self.transformer_blocks[0](self.proj_in(self.norm(x)).flatten(2).transpose(1, 2))
        return self.proj_out(places.transpose(1, 2).reshape(x.shape)) + x


class Resized(nn.Module):  # type: ignore[misc]
    """The convolution to the next level."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Level(nn.Module):  # type: ignore[misc]
    """Residual blocks of one width, and the step to the next level."""

    def __init__(self, inputs: Sequence[int], width: int, step: str | None, time: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResidualBlock(size, width, time, groups) for size in inputs)
        if step is not None:
            setattr(self, f"{step}samplers", nn.ModuleList([Resized(width, 2 if step == "down" else 1)]))

    def down(self, x: torch.Tensor, time: torch.Tensor, seen: list[torch.Tensor]) -> torch.Tensor:
        for block in self.resnets:
            x = block(x, time)
            seen.append(x)
        for step in getattr(self, "downsamplers", ()):
            x = step(x)
            seen.append(x)
        return x

    def up(self, x: torch.Tensor, time: torch.Tensor, seen: list[torch.Tensor]) -> torch.Tensor:
        for block in self.resnets:
            x = block(torch.cat([x, seen.pop()], 1), time)
        for step in getattr(self, "upsamplers", ()):
            x = step(functional.interpolate(x, size=seen[-1].shape[2:]))
        return x


class Middle(nn.Module):  # type: ignore[misc]
    """The bottom."""

    def __init__(self, width: int, time: int, heads: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Attended(width, heads, groups)])
        self.resnets = nn.ModuleList(ResidualBlock(width, width, time, groups) for _ in range(2))

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x, time)), time)


class TimeEmbedding(nn.Module):  # type: ignore[misc]
    """Two linear maps with a SiLU between them."""

    def __init__(self, features: int, inner: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(features, inner), nn.Linear(inner, inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_2(functional.silu(self.linear_1(x)))


class UNet(nn.Module):  # type: ignore[misc]
    """At time 0, without a context."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], layers: int, heads: int, groups: int) -> None:
        super().__init__()
        time, levels = 4 * widths[0], len(widths)
        self.features = widths[0]
        self.conv_in = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], time)
        before = (widths[0], *widths)
        downs = [[before[k], *[widths[k]] * (layers - 1)] for k in range(levels)]
        self.down_blocks = nn.ModuleList(Level(downs[k], widths[k], "down" if k + 1 < levels else None, time, groups) for k in range(levels))
        joined = _joined(widths, layers)
        self.up_blocks = nn.ModuleList(Level(joined[k], widths[k], "up" if k else None, time, groups) for k in reversed(range(levels)))
        self.mid_block = Middle(widths[-1], time, heads, groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[0])
        self.conv_out = nn.Conv2d(widths[0], outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = self.features // 2
        angles = torch.zeros(x.shape[0], 1) * torch.exp(-math.log(10000) * torch.arange(half) / half)
        time = self.time_embedding(torch.cat([angles.cos(), angles.sin()], -1))
        x = self.conv_in(x)
        seen = [x]
        for level in self.down_blocks:
            x = level.down(x, time, seen)
        x = self.mid_block(x, time)
        for level in self.up_blocks:
            x = level.up(x, time, seen)
        return self.conv_out(functional.silu(self.conv_norm_out(x)))


def _joined(widths: Sequence[int], layers: int) -> dict[int, list[int]]:
    """The channels that every residual block on the way up reads."""
    seen = [widths[0]]
    for k, width in enumerate(widths):
        seen += [width] * (layers + (k + 1 < len(widths)))
    held, found = widths[-1], {}
    for k in reversed(range(len(widths))):
        found[k] = [(held if layer == 0 else widths[k]) + seen.pop() for layer in range(layers + 1)]
        held = widths[k]
    return found
