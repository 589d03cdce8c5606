"""One neuron at batch 1, called from Python with a NumPy array: what a call costs."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..case import Case, Peers, Run, Sizes
from ..onnx_model import onnx_run

X = np.array([[2.0, 3.0]], np.float32)
W = np.array([[4.0, -1.0]], np.float32)
B = np.array([1.0], np.float32)


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd

    x = gd.placeholder("x", ("N", 2))
    f = gd.compile([gd.sigmoid(x @ gd.parameter(W, "weight").T + gd.parameter(B, "bias"))], [x], mode="inference", frozen=True)
    return partial(f, X)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch

    w, b = torch.from_numpy(W.copy()), torch.from_numpy(B.copy())

    def neuron(x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(torch.nn.functional.linear(x, w, b))

    f = torch.compile(neuron) if compiled else neuron

    def run() -> list[np.ndarray]:
        with torch.inference_mode():
            return [f(torch.from_numpy(X)).numpy()]

    return run


def _jax(s: Sizes) -> Run:
    import jax

    w, b = jax.numpy.asarray(W), jax.numpy.asarray(B)
    f = jax.jit(lambda x: jax.nn.sigmoid(x @ w.T + b))
    return lambda: [np.asarray(f(X))]


def _onnx(s: Sizes) -> Run:
    return onnx_run([("Gemm", ["x", "w", "b"], "h", {"transB": 1}), ("Sigmoid", ["h"], "y")], {"x": X}, {"w": W, "b": B})


CASE = Case(
    "neuron",
    "sigmoid(w x + b) of two inputs, from Python with NumPy arrays",
    {},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax, "onnxruntime": _onnx},
)
