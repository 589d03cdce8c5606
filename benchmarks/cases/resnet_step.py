"""A whole training step of ResNet-18 with Adam, on small images."""

from __future__ import annotations

from ..resnet import flops, graphdl_net, jax_scores, shapes, torch_net
from ..training import Network, normal_and_classes

CASE = Network(
    shapes,
    lambda s: normal_and_classes(s["batch"], (3, s["side"], s["side"]), s["classes"]),
    graphdl_net,
    torch_net,
    lambda s, weights, x: jax_scores(s, weights, x, training=True),
).case(
    "resnet_step",
    "training step of ResNet-18 with Adam",
    {"batch": 16, "side": 64, "width": 64, "classes": 10},
    lambda s: 3.0 * flops(s),
)
