"""A whole training step of a transformer encoder that classifies sequences by the mean of its outputs."""

from __future__ import annotations

from typing import Any

from ..case import Sizes
from ..training import Network, Shapes, Weights, linear, normal_and_classes


def _shapes(s: Sizes) -> Shapes:
    d, found = s["features"], dict[str, tuple[int, ...]]()
    for k in range(s["layers"]):
        layer = f"encoder.layers.{k}"
        found |= {f"{layer}.self_attn.in_proj_weight": (3 * d, d), f"{layer}.self_attn.in_proj_bias": (3 * d,)}
        found |= {**linear(f"{layer}.self_attn.out_proj", d, d), **linear(f"{layer}.linear1", d, 4 * d), **linear(f"{layer}.linear2", 4 * d, d)}
        found |= {f"{layer}.norm{n}.{part}": (d,) for n in (1, 2) for part in ("weight", "bias")}
    return {**found, **linear("head", d, 10)}


def _network(nn: Any, s: Sizes) -> Any:
    """graphdl's layers have PyTorch's names and arguments."""

    class Classifier(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(s["features"], s["heads"], 4 * s["features"], 0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, s["layers"])
            self.head = nn.Linear(s["features"], 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.encoder(x).mean(1))

    return Classifier()


def _graphdl(s: Sizes) -> Any:
    from graphdl import nn

    return _network(nn, s)


def _torch(s: Sizes) -> Any:
    from torch import nn

    return _network(nn, s)


def _jax(s: Sizes, weights: Weights, x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def mapped(name: str, x: Any) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    n, length, d = x.shape
    for k in range(s["layers"]):
        layer = f"encoder.layers.{k}"
        packed = x @ weights[f"{layer}.self_attn.in_proj_weight"].T + weights[f"{layer}.self_attn.in_proj_bias"]
        q, key, v = (part.reshape(n, length, s["heads"], -1).transpose(0, 2, 1, 3) for part in jnp.split(packed, 3, -1))
        scores = jax.nn.softmax(q @ key.transpose(0, 1, 3, 2) / jnp.sqrt(jnp.float32(d // s["heads"])))
        mixed = (scores @ v).transpose(0, 2, 1, 3).reshape(n, length, d)
        x = norm(f"{layer}.norm1", x + mapped(f"{layer}.self_attn.out_proj", mixed))
        x = norm(f"{layer}.norm2", x + mapped(f"{layer}.linear2", jax.nn.relu(mapped(f"{layer}.linear1", x))))
    return mapped("head", x.mean(1))


def _flops(s: Sizes) -> float:
    tokens, d = s["batch"] * s["length"], s["features"]
    return s["layers"] * tokens * (6.0 * 12 * d * d + 6.0 * 2 * s["length"] * d)


CASE = Network(_shapes, lambda s: normal_and_classes(s["batch"], (s["length"], s["features"]), 10), _graphdl, _torch, _jax).case(
    "encoder_step",
    "training step of a transformer encoder with Adam",
    {"batch": 16, "length": 64, "features": 128, "heads": 4, "layers": 2},
    _flops,
    [{"length": 256, "features": 256, "heads": 8, "batch": 8}],
)
