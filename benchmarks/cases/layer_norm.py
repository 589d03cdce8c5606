"""Layer normalisation along rows."""

from __future__ import annotations

from functools import partial

from ..case import Array, Case, Peers, Run, Sizes, normal
from ..onnx_model import onnx_run


def _data(s: Sizes) -> tuple[Array, Array, Array]:
    return normal(s["rows"], s["columns"]), normal(s["columns"], seed=1), normal(s["columns"], seed=2)


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd
    from graphdl.nn import functional

    columns = s["columns"]
    x, w, b = gd.placeholder("x", ("N", columns)), gd.placeholder("w", (columns,)), gd.placeholder("b", (columns,))
    f = gd.compile([functional.layer_norm(x, (columns,), w, b)], [x, w, b])
    data = _data(s)
    return partial(f, *data)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch

    x, w, b = map(torch.from_numpy, _data(s))
    f = torch.compile(torch.nn.functional.layer_norm) if compiled else torch.nn.functional.layer_norm
    return lambda: [f(x, (s["columns"],), w, b)]


def _jax(s: Sizes) -> Run:
    import jax

    def layer_norm(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
        centred = x - x.mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w + b

    data = [jax.numpy.asarray(array) for array in _data(s)]
    f = jax.jit(layer_norm)
    return lambda: [f(*data).block_until_ready()]


def _onnx(s: Sizes) -> Run:
    x, w, b = _data(s)
    return onnx_run([("LayerNormalization", ["x", "w", "b"], "y", {"axis": -1})], {"x": x}, {"w": w, "b": b})


CASE = Case(
    "layer_norm",
    "layer normalisation along rows",
    {"rows": 32768, "columns": 512},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax, "onnxruntime": _onnx},
    variants=[{"rows": 256}],
    limit=("copy", lambda s: 8.0 * s["rows"] * s["columns"]),
)
