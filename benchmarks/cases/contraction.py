"""A matrix product."""

from __future__ import annotations

from functools import partial

from ..case import Case, Peers, Run, Sizes, normal


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd

    a, b = gd.placeholder("a", (s["m"], s["k"])), gd.placeholder("b", (s["k"], s["n"]))
    f = gd.compile([a @ b], [a, b])
    x, y = normal(s["m"], s["k"]), normal(s["k"], s["n"], seed=1)
    return partial(f, x, y)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch

    x, y = torch.from_numpy(normal(s["m"], s["k"])), torch.from_numpy(normal(s["k"], s["n"], seed=1))
    f = torch.compile(torch.matmul) if compiled else torch.matmul
    return lambda: [f(x, y)]


def _jax(s: Sizes) -> Run:
    import jax

    x, y = jax.numpy.asarray(normal(s["m"], s["k"])), jax.numpy.asarray(normal(s["k"], s["n"], seed=1))
    f = jax.jit(jax.numpy.matmul)
    return lambda: [f(x, y).block_until_ready()]


CASE = Case(
    "contraction",
    "a matrix product",
    {"m": 512, "n": 512, "k": 512},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax},
    variants=[{"m": 1024, "n": 1024, "k": 1024}, {"m": 100, "n": 256, "k": 784}, {"m": 1, "n": 1024, "k": 1024}, {"m": 777, "n": 333, "k": 555}],
    limit=("fma", lambda s: 2.0 * s["m"] * s["n"] * s["k"]),
)
