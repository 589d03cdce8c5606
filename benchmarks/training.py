"""Whole training steps of one network in every framework: forward, cross entropy, backward, Adam.

A network is declared once per framework, under PyTorch's parameter names; values are drawn by name, so that all start equal.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .case import Array, Case, Peers, Run, Sizes

if TYPE_CHECKING:
    from graphdl import nn

RATE = 1e-3
Shapes = Mapping[str, tuple[int, ...]]
Weights = Mapping[str, Any]


@dataclass(frozen=True)
class Network:
    """`data` gives inputs and classes; the builders give scores whose last axis is that of the classes."""

    shapes: Callable[[Sizes], Shapes]
    data: Callable[[Sizes], tuple[Array, Array]]
    graphdl: Callable[[Sizes], nn.Module]
    torch: Callable[[Sizes], Any]
    jax: Callable[[Sizes, Weights, Any], Any]

    def case(self, name: str, what: str, sizes: Sizes, flops: Callable[[Sizes], float], variants: Sequence[Sizes] = ()) -> Case:
        """The training step. `flops` counts its contractions, forward and backward."""
        builds = {"graphdl": self._graphdl, **Peers(self._torch).as_builds(), "jax": self._jax}
        return Case(name, what, sizes, builds, variants, ("fma", flops), tolerance=1e-3)

    def weights(self, s: Sizes) -> dict[str, Array]:
        """Seeded values: maps of deviation 1 / sqrt(inputs), scales near 1, biases near 0."""
        return drawn_weights(self.shapes(s))

    def _graphdl(self, s: Sizes) -> Run:
        import graphdl as gd
        from graphdl import optim
        from graphdl.nn import functional

        inputs, classes = self.data(s)
        x = gd.placeholder("x", ("N", *inputs.shape[1:]), inputs.dtype)
        y = gd.placeholder("y", ("N", *classes.shape[1:]), "int64")
        net = self.graphdl(s)
        net.load_state_dict(self.weights(s), strict=False)
        scores = net(x)
        loss = functional.cross_entropy(scores.reshape((-1, scores.shape[-1])), y.reshape((-1,)))
        step = gd.compile([loss], [x, y], updates=optim.Adam(lr=RATE).updates(loss, net.parameters()))
        return partial(step, inputs, classes)

    def _torch(self, s: Sizes, compiled: bool) -> Run:
        import torch

        x, y = map(torch.from_numpy, self.data(s))
        net = self.torch(s)
        net.load_state_dict({name: torch.from_numpy(value) for name, value in self.weights(s).items()}, strict=False)
        optimizer = torch.optim.Adam(net.parameters(), lr=RATE)

        def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            scores = net(x)
            return torch.nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), y.reshape(-1))

        f: Any = torch.compile(loss_of) if compiled else loss_of

        def step() -> list[torch.Tensor]:
            optimizer.zero_grad()
            loss = f(x, y)
            loss.backward()
            optimizer.step()
            return [loss.detach()]

        return step

    def _jax(self, s: Sizes) -> Run:
        import jax
        import jax.numpy as jnp

        def loss_of(weights: Weights, x: Any, y: Any) -> Any:
            scores = self.jax(s, weights, x)
            chosen = jax.nn.log_softmax(scores.reshape(-1, scores.shape[-1]))
            return -jnp.take_along_axis(chosen, y.reshape(-1, 1), 1).mean()

        def update(weights: Weights, means: Weights, squares: Weights, count: Any, x: Any, y: Any) -> Any:
            loss, gradients = jax.value_and_grad(loss_of)(weights, x, y)
            count = count + 1
            means = jax.tree.map(lambda m, g: m + 0.1 * (g - m), means, gradients)
            squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, gradients)
            rate, root = RATE / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
            weights = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), weights, means, squares)
            return weights, means, squares, count, loss

        f = jax.jit(update, donate_argnums=(0, 1, 2))
        weights = {name: jnp.asarray(value) for name, value in self.weights(s).items()}
        state = [weights, jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights), jnp.float32(0)]
        x, y = map(jnp.asarray, self.data(s))

        def step() -> list[Any]:
            *state[:], loss = f(*state, x, y)
            return [loss.block_until_ready()]

        return step


def drawn_weights(shapes: Shapes) -> dict[str, Array]:
    """A seeded value for every name: maps of deviation 1 / sqrt(inputs), scales near 1, biases near 0."""
    return {name: _value(name, shape) for name, shape in shapes.items()}


def _value(name: str, shape: tuple[int, ...]) -> Array:
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    if len(shape) > 1:
        drawn /= np.sqrt(prod(shape[1:]), dtype=np.float32)
        return drawn
    return np.asarray(0.1 * drawn + np.float32(name.endswith("weight")), np.float32)


def linear(name: str, inputs: int, outputs: int) -> Shapes:
    """The parameters of a linear layer."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def normal_and_classes(batch: int, shape: tuple[int, ...], classes: int) -> tuple[Array, Array]:
    """Standard normal inputs (batch, *shape), and a class for each."""
    generator = np.random.default_rng(1)
    return generator.standard_normal((batch, *shape), dtype=np.float32), generator.integers(0, classes, batch)
