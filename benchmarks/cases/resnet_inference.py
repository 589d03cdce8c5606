"""ResNet-18 for inference: scores of images, with batch norms that use their running statistics."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import resnet
from ..case import Array, Case, Peers, Run, Sizes, normal
from ..onnx_model import onnx_run
from ..training import drawn_weights


def _images(s: Sizes) -> Array:
    return normal(s["batch"], 3, s["side"], s["side"])


def _weights(s: Sizes) -> dict[str, Array]:
    return drawn_weights(resnet.shapes(s))


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd

    data = _images(s)
    x = gd.placeholder("x", ("N", *data.shape[1:]))
    net = resnet.graphdl_net(s)
    net.load_state_dict(_weights(s), strict=False)
    f = gd.compile([net(x)], [x], mode="inference", frozen=True)
    return partial(f, data)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch

    x = torch.from_numpy(_images(s))
    net = resnet.torch_net(s)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in _weights(s).items()}, strict=False)
    net.eval()
    f: Any = torch.compile(net) if compiled else net

    def run() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [f(x)]

    return run


def _jax(s: Sizes) -> Run:
    import jax

    x = jax.numpy.asarray(_images(s))
    weights = {name: jax.numpy.asarray(value) for name, value in _weights(s).items()}
    f = jax.jit(lambda weights, x: resnet.jax_scores(s, weights, x, training=False))
    return lambda: [f(weights, x).block_until_ready()]


def _onnx(s: Sizes) -> Run:
    nodes, constants = resnet.onnx_nodes(s, _weights(s))
    return onnx_run(nodes, {"x": _images(s)}, constants)


CASE = Case(
    "resnet_inference",
    "ResNet-18 for inference",
    {"batch": 1, "side": 224, "width": 64, "classes": 1000},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax, "onnxruntime": _onnx},
    limit=("fma", resnet.flops),
    tolerance=1e-3,
)
