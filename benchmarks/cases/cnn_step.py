"""A whole training step of a small convolutional network for 28 x 28 images: two convolutions with pooling, one linear layer."""

from __future__ import annotations

from typing import Any

from ..case import Sizes
from ..training import Network, Shapes, Weights, linear, normal_and_classes


def _shapes(s: Sizes) -> Shapes:
    side, width = s["side"] // 4, s["width"]
    convolutions = {"0.weight": (width, 1, 3, 3), "0.bias": (width,), "3.weight": (2 * width, width, 3, 3), "3.bias": (2 * width,)}
    return {**convolutions, **linear("7", 2 * width * side * side, 10)}


def _sequence(nn: Any, s: Sizes) -> Any:
    """graphdl's layers have PyTorch's names and arguments."""
    side, width = s["side"] // 4, s["width"]
    first = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(2 * width * side * side, 10))


def _graphdl(s: Sizes) -> Any:
    from graphdl import nn

    return _sequence(nn, s)


def _torch(s: Sizes) -> Any:
    from torch import nn

    return _sequence(nn, s)


def _jax(s: Sizes, weights: Weights, x: Any) -> Any:
    import jax

    for k in (0, 3):
        x = jax.lax.conv(x, weights[f"{k}.weight"], (1, 1), "SAME") + weights[f"{k}.bias"][:, None, None]
        x = jax.lax.reduce_window(jax.nn.relu(x), -jax.numpy.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return x.reshape(x.shape[0], -1) @ weights["7.weight"].T + weights["7.bias"]


def _flops(s: Sizes) -> float:
    pixels, width = s["batch"] * s["side"] ** 2, s["width"]
    first, second, last = 18 * pixels * width, 18 * pixels / 4 * 2 * width * width, 2 * pixels / 16 * 2 * width * 10
    return 2 * first + 3 * (second + last)


CASE = Network(_shapes, lambda s: normal_and_classes(s["batch"], (1, s["side"], s["side"]), 10), _graphdl, _torch, _jax).case(
    "cnn_step", "training step of a small convolutional network with Adam", {"batch": 64, "side": 28, "width": 16}, _flops, [{"width": 32, "batch": 128}]
)
