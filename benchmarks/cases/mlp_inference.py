"""Inference of a multilayer perceptron."""

from __future__ import annotations

from functools import partial

from .. import mlp
from ..case import Array, Case, Peers, Run, Sizes
from ..onnx_model import Node, onnx_run


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd

    x = gd.placeholder("x", ("N", s["inputs"]))
    h, layers = x, mlp.weights(s)
    for k, (w, b) in enumerate(layers):
        h = h @ gd.parameter(w, f"{k}.weight").T + gd.parameter(b, f"{k}.bias")
        h = h if k + 1 == len(layers) else gd.relu(h)
    f = gd.compile([h], [x], mode="inference", frozen=True)
    data, _ = mlp.batch(s)
    return partial(f, data)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    for w, b in mlp.weights(s):
        linear = nn.Linear(w.shape[1], w.shape[0])
        linear.weight.data, linear.bias.data = torch.from_numpy(w.copy()), torch.from_numpy(b.copy())
        layers += [linear, nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).eval()
    x = torch.from_numpy(mlp.batch(s)[0])
    f = torch.compile(net) if compiled else net

    def run() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [f(x)]

    return run


def _jax(s: Sizes) -> Run:
    import jax

    layers = [tuple(map(jax.numpy.asarray, layer)) for layer in mlp.weights(s)]

    def predict(h: jax.Array) -> jax.Array:
        for k, (w, b) in enumerate(layers):
            h = h @ w.T + b
            h = h if k + 1 == len(layers) else jax.nn.relu(h)
        return h

    f, x = jax.jit(predict), jax.numpy.asarray(mlp.batch(s)[0])
    return lambda: [f(x).block_until_ready()]


def _onnx(s: Sizes) -> Run:
    nodes: list[Node] = []
    constants: dict[str, Array | float] = {}
    layers, name = mlp.weights(s), "x"
    for k, (w, b) in enumerate(layers):
        constants |= {f"w{k}": w, f"b{k}": b}
        nodes.append(("Gemm", [name, f"w{k}", f"b{k}"], f"h{k}", {"transB": 1}))
        name = f"h{k}"
        if k + 1 < len(layers):
            nodes.append(("Relu", [name], f"r{k}"))
            name = f"r{k}"
    return onnx_run(nodes, {"x": mlp.batch(s)[0]}, constants)


CASE = Case(
    "mlp_inference",
    "inference of a multilayer perceptron",
    {"batch": 1, "inputs": 784, "hidden": 256, "classes": 10},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax, "onnxruntime": _onnx},
    variants=[{"batch": 100}],
)
