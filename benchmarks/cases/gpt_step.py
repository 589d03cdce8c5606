"""A whole training step of a GPT: pre-norm decoder layers with causal attention, learned positions, tied embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..case import Array, Sizes
from ..training import Network, Shapes, Weights


def _shapes(s: Sizes) -> Shapes:
    d = s["features"]
    found: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (s["vocabulary"], d), "transformer.wpe.weight": (s["length"], d)}
    for k in range(s["layers"]):
        layer = f"transformer.h.{k}"
        maps = {"attn.c_attn": (d, 3 * d), "attn.c_proj": (d, d), "mlp.c_fc": (d, 4 * d), "mlp.c_proj": (4 * d, d)}
        for name, shape in maps.items():
            found |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[1:]}
        found |= {f"{layer}.{norm}.{part}": (d,) for norm in ("ln_1", "ln_2") for part in ("weight", "bias")}
    return {**found, "transformer.ln_f.weight": (d,), "transformer.ln_f.bias": (d,)}


def _data(s: Sizes) -> tuple[Array, Array]:
    tokens = np.random.default_rng(1).integers(0, s["vocabulary"], (s["batch"], s["length"] + 1))
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


def _graphdl(s: Sizes) -> Any:
    from graphdl.nn.models import gpt

    return gpt(s["vocabulary"], s["length"], s["features"], s["layers"], s["heads"], dropout=0.0)


def _torch(s: Sizes) -> Any:
    import torch
    from torch import nn

    d = s["features"]

    class Conv1D(nn.Module):  # type: ignore[misc]
        def __init__(self, outputs: int, inputs: int) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.empty(inputs, outputs)), nn.Parameter(torch.empty(outputs))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight).reshape(*x.shape[:-1], -1)

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.attn = nn.ModuleDict({"c_attn": Conv1D(3 * d, d), "c_proj": Conv1D(d, d)})
            self.mlp = nn.ModuleDict({"c_fc": Conv1D(4 * d, d), "c_proj": Conv1D(d, 4 * d)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = (part.unflatten(2, (s["heads"], -1)).transpose(1, 2) for part in self.attn["c_attn"](self.ln_1(x)).chunk(3, 2))
            mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.attn["c_proj"](mixed.transpose(1, 2).flatten(2))
            return x + self.mlp["c_proj"](nn.functional.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh"))

    class GPT(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            embeddings = {"wte": nn.Embedding(s["vocabulary"], d), "wpe": nn.Embedding(s["length"], d)}
            self.transformer = nn.ModuleDict({**embeddings, "h": nn.ModuleList(Block() for _ in range(s["layers"])), "ln_f": nn.LayerNorm(d)})

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            parts = self.transformer
            x = parts["wte"](tokens) + parts["wpe"].weight
            for block in parts["h"]:
                x = block(x)
            return parts["ln_f"](x) @ parts["wte"].weight.T

    return GPT()


def _jax(s: Sizes, weights: Weights, x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def mapped(name: str, x: Any) -> Any:
        return x @ weights[f"transformer.{name}.weight"] + weights[f"transformer.{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weights[f"transformer.{name}.weight"] + weights[f"transformer.{name}.bias"]

    n, length = x.shape
    x = weights["transformer.wte.weight"][x] + weights["transformer.wpe.weight"]
    for k in range(s["layers"]):
        parts = jnp.split(mapped(f"h.{k}.attn.c_attn", norm(f"h.{k}.ln_1", x)), 3, -1)
        q, key, v = (part.reshape(n, length, s["heads"], -1).transpose(0, 2, 1, 3) for part in parts)
        scores = q @ key.transpose(0, 1, 3, 2) / jnp.sqrt(jnp.float32(q.shape[-1]))
        visible = jnp.tril(jnp.ones((length, length), bool))
        mixed = jax.nn.softmax(jnp.where(visible, scores, -jnp.inf)) @ v
        x = x + mapped(f"h.{k}.attn.c_proj", mixed.transpose(0, 2, 1, 3).reshape(x.shape))
        x = x + mapped(f"h.{k}.mlp.c_proj", jax.nn.gelu(mapped(f"h.{k}.mlp.c_fc", norm(f"h.{k}.ln_2", x))))
    return norm("ln_f", x) @ weights["transformer.wte.weight"].T


def _flops(s: Sizes) -> float:
    """Causal attention counted at the half that is needed."""
    tokens, d = s["batch"] * s["length"], s["features"]
    return tokens * (s["layers"] * (6.0 * 12 * d * d + 6.0 * s["length"] * d) + 6.0 * s["vocabulary"] * d)


NETWORK = Network(_shapes, _data, _graphdl, _torch, _jax)
CASE = NETWORK.case(
    "gpt_step",
    "training step of a GPT with Adam",
    {"batch": 8, "length": 128, "features": 256, "heads": 4, "layers": 4, "vocabulary": 256},
    _flops,
    [{"length": 64}, {"length": 1024, "batch": 1}],
)
