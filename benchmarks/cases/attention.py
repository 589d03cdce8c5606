"""Scaled dot-product attention of sequences to themselves, causal."""

from __future__ import annotations

from functools import partial

from ..case import Case, Peers, Run, Sizes, normal


def _shape(s: Sizes) -> tuple[int, int, int, int]:
    return s["batch"], s["heads"], s["length"], s["features"]


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd
    from graphdl.nn import functional

    q, k, v = (gd.placeholder(name, _shape(s)) for name in "qkv")
    f = gd.compile([functional.scaled_dot_product_attention(q, k, v, is_causal=True)], [q, k, v])
    data = [normal(*_shape(s), seed=seed) for seed in range(3)]
    return partial(f, *data)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch

    q, k, v = (torch.from_numpy(normal(*_shape(s), seed=seed)) for seed in range(3))
    attention = torch.nn.functional.scaled_dot_product_attention
    f = torch.compile(attention) if compiled else attention
    return lambda: [f(q, k, v, is_causal=True)]


def _jax(s: Sizes) -> Run:
    import jax
    import jax.numpy as jnp

    def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        scores = q @ k.transpose(0, 1, 3, 2) / jnp.sqrt(jnp.float32(q.shape[-1]))
        visible = jnp.tril(jnp.ones((q.shape[2], q.shape[2]), bool))
        return jax.nn.softmax(jnp.where(visible, scores, -jnp.inf)) @ v

    data = [jnp.asarray(normal(*_shape(s), seed=seed)) for seed in range(3)]
    f = jax.jit(attention)
    return lambda: [f(*data).block_until_ready()]


CASE = Case(
    "attention",
    "causal attention",
    {"batch": 1, "heads": 8, "length": 512, "features": 64},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax},
    variants=[{"length": 1024}, {"batch": 8, "length": 77, "features": 40}],
    limit=("fma", lambda s: 2.0 * s["batch"] * s["heads"] * s["length"] ** 2 * s["features"]),  # half of both products is seen
)
