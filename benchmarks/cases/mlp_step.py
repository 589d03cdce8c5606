"""A whole training step of a multilayer perceptron: forward, cross entropy, backward, Adam."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from .. import mlp
from ..case import Sizes
from ..training import Network, Shapes, Weights, linear


def _shapes(s: Sizes) -> Shapes:
    return {name: shape for k, pair in enumerate(pairwise(mlp.widths(s))) for name, shape in linear(str(2 * k), *pair).items()}


def _sequence(nn: Any, s: Sizes) -> Any:
    """graphdl's layers have PyTorch's names and arguments."""
    layers = [layer for pair in pairwise(mlp.widths(s)) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def _graphdl(s: Sizes) -> Any:
    from graphdl import nn

    return _sequence(nn, s)


def _torch(s: Sizes) -> Any:
    from torch import nn

    return _sequence(nn, s)


def _jax(s: Sizes, weights: Weights, x: Any) -> Any:
    import jax

    last = 2 * (len(mlp.widths(s)) - 2)
    for k in range(0, last + 1, 2):
        x = x @ weights[f"{k}.weight"].T + weights[f"{k}.bias"]
        x = x if k == last else jax.nn.relu(x)
    return x


def _flops(s: Sizes) -> float:
    pairs = list(pairwise(mlp.widths(s)))
    return 2.0 * s["batch"] * (3 * sum(a * b for a, b in pairs) - pairs[0][0] * pairs[0][1])


CASE = Network(_shapes, mlp.batch, _graphdl, _torch, _jax).case(
    "mlp_step",
    "training step of a multilayer perceptron with Adam",
    {"batch": 100, "inputs": 784, "hidden": 256, "classes": 10},
    _flops,
    [{"hidden": 1024, "batch": 256}],
)
