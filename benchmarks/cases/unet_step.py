"""A whole training step of a small U-Net with Adam, which gives every place of an image a class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..case import Array, Sizes
from ..training import Network, Weights
from ..unet import flops, graphdl_net, shapes, torch_net


def _data(s: Sizes) -> tuple[Array, Array]:
    generator = np.random.default_rng(1)
    places = (s["batch"], s["side"], s["side"])
    return generator.standard_normal((s["batch"], 3, *places[1:]), dtype=np.float32), generator.integers(0, s["classes"], places)


def _jax(s: Sizes, weights: Weights, x: Any) -> Any:
    raise NotImplementedError


_CASE = Network(shapes, _data, graphdl_net, torch_net, _jax).case(
    "unet_step",
    "training step of a U-Net with Adam",
    {"batch": 8, "side": 64, "width": 32, "classes": 8},
    lambda s: 3.0 * flops(s),
)
CASE = replace(_CASE, build={name: build for name, build in _CASE.build.items() if name != "jax"})
