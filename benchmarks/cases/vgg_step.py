"""A whole training step of a convolutional network for 32 x 32 colour images: four convolutions with batch norm, pooling, two linear layers."""

from __future__ import annotations

from typing import Any

from ..case import Sizes
from ..training import Network, Shapes, Weights, linear, normal_and_classes


def _widths(s: Sizes) -> list[int]:
    return [3, s["width"], s["width"], 2 * s["width"], 2 * s["width"]]


def _features(s: Sizes) -> int:
    return 2 * s["width"] * (s["side"] // 4) ** 2


def _places(s: Sizes) -> list[int]:
    """Where the convolutions stand in the sequence; a pooling follows every second block."""
    return [0, 3, 7, 10]


def _shapes(s: Sizes) -> Shapes:
    found: dict[str, tuple[int, ...]] = {}
    for k, inputs, outputs in zip(_places(s), _widths(s), _widths(s)[1:], strict=False):
        found |= {f"{k}.weight": (outputs, inputs, 3, 3), f"{k}.bias": (outputs,), f"{k + 1}.weight": (outputs,), f"{k + 1}.bias": (outputs,)}
    return {**found, **linear("15", _features(s), s["hidden"]), **linear("17", s["hidden"], 10)}


def _sequence(nn: Any, s: Sizes) -> Any:
    """graphdl's layers have PyTorch's names and arguments."""
    layers: list[Any] = []
    for k, (inputs, outputs) in enumerate(zip(_widths(s), _widths(s)[1:], strict=False)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), *([nn.MaxPool2d(2)] if k % 2 else [])]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(_features(s), s["hidden"]), nn.ReLU(), nn.Linear(s["hidden"], 10))


def _graphdl(s: Sizes) -> Any:
    from graphdl import nn

    return _sequence(nn, s)


def _torch(s: Sizes) -> Any:
    from torch import nn

    return _sequence(nn, s)


def _jax(s: Sizes, weights: Weights, x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    for k in _places(s):
        x = jax.lax.conv(x, weights[f"{k}.weight"], (1, 1), "SAME") + weights[f"{k}.bias"][:, None, None]
        mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        scale, shift = weights[f"{k + 1}.weight"][:, None, None], weights[f"{k + 1}.bias"][:, None, None]
        x = jax.nn.relu((x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + shift)
        if k in (3, 10):
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = jax.nn.relu(x.reshape(x.shape[0], -1) @ weights["15.weight"].T + weights["15.bias"])
    return x @ weights["17.weight"].T + weights["17.bias"]


def _flops(s: Sizes) -> float:
    pixels, w = s["batch"] * s["side"] ** 2, s["width"]
    first, rest = 18.0 * pixels * 3 * w, 18.0 * pixels * (w * w + 2 * w * w / 4 + 4 * w * w / 4)
    return 2 * first + 3 * rest + 6.0 * s["batch"] * s["hidden"] * (_features(s) + 10)


CASE = Network(_shapes, lambda s: normal_and_classes(s["batch"], (3, s["side"], s["side"]), 10), _graphdl, _torch, _jax).case(
    "vgg_step",
    "training step of a convolutional network with batch norm and Adam",
    {"batch": 32, "side": 32, "width": 32, "hidden": 128},
    _flops,
)
