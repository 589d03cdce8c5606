"""A convolution with bias and ReLU, as in the middle of a network."""

from __future__ import annotations

from functools import partial

from ..case import Array, Case, Peers, Run, Sizes, normal
from ..onnx_model import onnx_run


def _arrays(s: Sizes) -> tuple[Array, Array, Array]:
    x = normal(s["batch"], s["channels"], s["side"], s["side"])
    return x, normal(s["outputs"], s["channels"] // s["groups"], s["kernel"], s["kernel"], seed=1), normal(s["outputs"], seed=2)


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd
    from graphdl.nn import functional

    data, weight, bias = _arrays(s)
    x = gd.placeholder("x", data.shape)
    w, b = gd.parameter(weight, "weight"), gd.parameter(bias, "bias")
    y = gd.relu(functional.conv2d(x, w, b, stride=s["stride"], padding=s["kernel"] // 2, groups=s["groups"]))
    f = gd.compile([y], [x], mode="inference", frozen=True)
    return partial(f, data)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch

    x, w, b = map(torch.from_numpy, _arrays(s))

    def layer(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.nn.functional.conv2d(x, w, b, s["stride"], s["kernel"] // 2, groups=s["groups"]))

    f = torch.compile(layer) if compiled else layer
    return lambda: [f(x)]


def _jax(s: Sizes) -> Run:
    import jax

    x, w, b = map(jax.numpy.asarray, _arrays(s))
    around = [(s["kernel"] // 2, s["kernel"] // 2)] * 2

    def layer(x: jax.Array) -> jax.Array:
        y = jax.lax.conv_general_dilated(x, w, (s["stride"], s["stride"]), around, feature_group_count=s["groups"])
        return jax.nn.relu(y + b[:, None, None])

    f = jax.jit(layer)
    return lambda: [f(x).block_until_ready()]


def _onnx(s: Sizes) -> Run:
    x, w, b = _arrays(s)
    attributes = {"strides": [s["stride"]] * 2, "pads": [s["kernel"] // 2] * 4, "group": s["groups"]}
    return onnx_run([("Conv", ["x", "w", "b"], "c", attributes), ("Relu", ["c"], "y", {})], {"x": x}, {"w": w, "b": b})


def _flops(s: Sizes) -> float:
    side = -(-s["side"] // s["stride"])
    return 2.0 * s["batch"] * side**2 * s["outputs"] * s["channels"] // s["groups"] * s["kernel"] ** 2


CASE = Case(
    "convolution",
    "convolution with bias and ReLU",
    {"batch": 8, "channels": 64, "outputs": 64, "side": 56, "kernel": 3, "stride": 1, "groups": 1},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax, "onnxruntime": _onnx},
    variants=[
        {"kernel": 1, "outputs": 256},
        {"side": 28, "channels": 128, "outputs": 256, "stride": 2},
        {"side": 28, "channels": 96, "outputs": 96, "groups": 96},
        {"batch": 1, "side": 33, "channels": 30, "outputs": 50},
    ],
    limit=("fma", _flops),
)
