"""Generation of a GPT, the likeliest token each time: it reads a prompt, then adds tokens one by one with a key-value cache.

The cache has a fixed length in every framework, and a step attends to all of it under a mask. JAX runs all steps in one program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..case import Array, Case, Peers, Run, Sizes
from .gpt_step import NETWORK

if TYPE_CHECKING:
    import torch

HEAD = "transformer"


def _prompt(s: Sizes) -> Array:
    return np.random.default_rng(1).integers(0, s["vocabulary"], (s["batch"], s["prompt"]))


def _context(s: Sizes) -> int:
    return s["prompt"] + s["tokens"]


def _weights(s: Sizes) -> dict[str, Array]:
    """Those of the training step, with embeddings that tell tokens apart."""
    found = NETWORK.weights({**s, "length": _context(s)})
    return {name: 4 * value if name.endswith("wte.weight") else value for name, value in found.items()}


def _graphdl(s: Sizes) -> Run:
    from graphdl.nn.models import Generator, gpt

    net = gpt(s["vocabulary"], _context(s), s["features"], s["layers"], s["heads"], dropout=0.0)
    net.load_state_dict(_weights(s), strict=False)
    generator, prompt = Generator(net, s["batch"]), _prompt(s)
    return lambda: [generator.generate(prompt, s["tokens"], temperature=0)]


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch
    from torch.nn import functional

    weights = {name: torch.from_numpy(value) for name, value in _weights(s).items()}
    length, d, heads = _context(s), s["features"], s["heads"]
    places = torch.arange(length)

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (d,), weights[f"{HEAD}.{name}.weight"], weights[f"{HEAD}.{name}.bias"])

    def mapped(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f"{HEAD}.{name}.weight"] + weights[f"{HEAD}.{name}.bias"]

    def advance(tokens: torch.Tensor, first: torch.Tensor, cache: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """The likeliest next tokens (batch, 1) behind `tokens`, which stand from `first` on."""
        own = first + torch.arange(tokens.shape[1])
        seen = places <= own[:, None]
        x = weights[f"{HEAD}.wte.weight"][tokens] + weights[f"{HEAD}.wpe.weight"][own]
        for k, held in enumerate(cache):
            q, *new = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in mapped(f"h.{k}.attn.c_attn", norm(f"h.{k}.ln_1", x)).chunk(3, 2))
            for array, part in zip(held, new, strict=True):
                array.index_copy_(2, own, part)
            mixed = functional.scaled_dot_product_attention(q, *held, attn_mask=seen)
            x = x + mapped(f"h.{k}.attn.c_proj", mixed.transpose(1, 2).flatten(2))
            x = x + mapped(f"h.{k}.mlp.c_proj", functional.gelu(mapped(f"h.{k}.mlp.c_fc", norm(f"h.{k}.ln_2", x)), approximate="tanh"))
        return (norm("ln_f", x[:, -1:]) @ weights[f"{HEAD}.wte.weight"].T).argmax(-1)

    step: Any = torch.compile(advance) if compiled else advance
    shape = s["batch"], heads, length, d // heads
    cache = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(s["layers"])]
    prompt = torch.from_numpy(_prompt(s))

    def run() -> list[torch.Tensor]:
        with torch.inference_mode():
            found = [prompt, step(prompt, torch.tensor(0), cache)]
            for place in range(prompt.shape[1], length - 1):
                found.append(step(found[-1], torch.tensor(place), cache))
            return [torch.cat(found, 1)]

    return run


def _jax(s: Sizes) -> Run:
    import jax
    import jax.numpy as jnp

    weights = {name: jnp.asarray(value) for name, value in _weights(s).items()}
    length, heads = _context(s), s["heads"]

    def mapped(weights: Any, name: str, x: Any) -> Any:
        return x @ weights[f"{HEAD}.{name}.weight"] + weights[f"{HEAD}.{name}.bias"]

    def norm(weights: Any, name: str, x: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weights[f"{HEAD}.{name}.weight"] + weights[f"{HEAD}.{name}.bias"]

    def advance(weights: Any, tokens: Any, first: Any, cache: Any) -> Any:
        """The likeliest next tokens (batch, 1), and the cache."""
        own = first + jnp.arange(tokens.shape[1])
        seen = jnp.arange(length) <= own[:, None]
        x = weights[f"{HEAD}.wte.weight"][tokens] + weights[f"{HEAD}.wpe.weight"][own]
        kept = []
        for k, held in enumerate(cache):
            parts = jnp.split(mapped(weights, f"h.{k}.attn.c_attn", norm(weights, f"h.{k}.ln_1", x)), 3, -1)
            q, *new = (part.reshape(*tokens.shape, heads, -1).transpose(0, 2, 1, 3) for part in parts)
            keys, values = (jax.lax.dynamic_update_slice(array, part, (0, 0, first, 0)) for array, part in zip(held, new, strict=True))
            kept.append((keys, values))
            scores = q @ keys.transpose(0, 1, 3, 2) / jnp.sqrt(jnp.float32(q.shape[-1]))
            mixed = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)) @ values
            x = x + mapped(weights, f"h.{k}.attn.c_proj", mixed.transpose(0, 2, 1, 3).reshape(x.shape))
            x = x + mapped(weights, f"h.{k}.mlp.c_proj", jax.nn.gelu(mapped(weights, f"h.{k}.mlp.c_fc", norm(weights, f"h.{k}.ln_2", x))))
        return (norm(weights, "ln_f", x[:, -1:]) @ weights[f"{HEAD}.wte.weight"].T).argmax(-1), kept

    def generate(weights: Any, prompt: Any) -> Any:
        shape = s["batch"], heads, length, s["features"] // heads
        token, cache = advance(weights, prompt, 0, [(jnp.zeros(shape), jnp.zeros(shape)) for _ in range(s["layers"])])
        found = jnp.zeros((s["batch"], length), prompt.dtype).at[:, : prompt.shape[1]].set(prompt)

        def step(place: Any, state: Any) -> Any:
            found, token, cache = state
            found = jax.lax.dynamic_update_slice(found, token.astype(found.dtype), (0, place))
            return found, *advance(weights, token, place, cache)

        found, token, _ = jax.lax.fori_loop(prompt.shape[1], length - 1, step, (found, token, cache))
        return found.at[:, -1:].set(token.astype(found.dtype))

    f, prompt = jax.jit(generate), jnp.asarray(_prompt(s))
    return lambda: [f(weights, prompt).block_until_ready()]


def _flops(s: Sizes) -> float:
    """The products with weights of every token; the prompt's tokens need no scores but the last."""
    d = s["features"]
    return s["batch"] * (_context(s) * s["layers"] * 24.0 * d * d + s["tokens"] * 2.0 * s["vocabulary"] * d)


CASE = Case(
    "gpt_generation",
    "a prompt read and tokens generated by a GPT with a key-value cache",
    {"batch": 1, "prompt": 32, "tokens": 96, "features": 256, "heads": 4, "layers": 4, "vocabulary": 256},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax},
    [{"batch": 8}],
    ("fma", _flops),
)
