"""A chain of cheap elementwise operations with a broadcast operand."""

from __future__ import annotations

from functools import partial

from ..case import Case, Peers, Run, Sizes, normal
from ..onnx_model import onnx_run


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd

    x, b = gd.placeholder("x", ("N", s["columns"])), gd.placeholder("b", (s["columns"],))
    f = gd.compile([gd.relu(x * 2.0 + b) * 0.5 - x], [x, b])
    data = normal(s["rows"], s["columns"]), normal(s["columns"], seed=1)
    return partial(f, *data)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch

    x, b = torch.from_numpy(normal(s["rows"], s["columns"])), torch.from_numpy(normal(s["columns"], seed=1))

    def chain(x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.relu(x * 2.0 + b) * 0.5 - x

    f = torch.compile(chain) if compiled else chain
    return lambda: [f(x, b)]


def _jax(s: Sizes) -> Run:
    import jax

    x, b = jax.numpy.asarray(normal(s["rows"], s["columns"])), jax.numpy.asarray(normal(s["columns"], seed=1))
    f = jax.jit(lambda x, b: jax.nn.relu(x * 2.0 + b) * 0.5 - x)
    return lambda: [f(x, b).block_until_ready()]


def _onnx(s: Sizes) -> Run:
    nodes = [("Mul", ["x", "two"], "d"), ("Add", ["d", "b"], "e"), ("Relu", ["e"], "r"), ("Mul", ["r", "half"], "h"), ("Sub", ["h", "x"], "y")]
    inputs = {"x": normal(s["rows"], s["columns"]), "b": normal(s["columns"], seed=1)}
    return onnx_run(nodes, inputs, {"two": 2.0, "half": 0.5})


CASE = Case(
    "elementwise",
    "relu(2x + b)/2 - x",
    {"rows": 32768, "columns": 512},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax, "onnxruntime": _onnx},
    variants=[{"rows": 256}],
    limit=("copy", lambda s: 8.0 * s["rows"] * s["columns"]),
)
