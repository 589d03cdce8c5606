"""Softmax along rows."""

from __future__ import annotations

from functools import partial

from ..case import Case, Peers, Run, Sizes, normal
from ..onnx_model import onnx_run


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd

    x = gd.placeholder("x", ("N", s["columns"]))
    f = gd.compile([gd.softmax(x, -1)], [x])
    data = normal(s["rows"], s["columns"])
    return partial(f, data)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch

    x = torch.from_numpy(normal(s["rows"], s["columns"]))
    f = torch.compile(torch.softmax) if compiled else torch.softmax
    return lambda: [f(x, -1)]


def _jax(s: Sizes) -> Run:
    import jax

    x = jax.numpy.asarray(normal(s["rows"], s["columns"]))
    f = jax.jit(jax.nn.softmax)
    return lambda: [f(x).block_until_ready()]


def _onnx(s: Sizes) -> Run:
    return onnx_run([("Softmax", ["x"], "y", {"axis": -1})], {"x": normal(s["rows"], s["columns"])}, {})


CASE = Case(
    "softmax",
    "softmax along rows",
    {"rows": 32768, "columns": 512},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax, "onnxruntime": _onnx},
    variants=[{"rows": 256}, {"rows": 16384, "columns": 1000}],
    limit=("copy", lambda s: 8.0 * s["rows"] * s["columns"]),
)
