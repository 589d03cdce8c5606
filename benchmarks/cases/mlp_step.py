"""A whole training step of a multilayer perceptron: forward, cross entropy, backward, Adam."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import mlp
from ..case import Case, Peers, Run, Sizes

RATE = 1e-3


def _graphdl(s: Sizes) -> Run:
    import graphdl as gd
    from graphdl import optim
    from graphdl.nn import functional

    x, y = gd.placeholder("x", ("N", s["inputs"])), gd.placeholder("y", ("N",), "int64")
    parameters = [(gd.parameter(w, f"{k}.weight"), gd.parameter(b, f"{k}.bias")) for k, (w, b) in enumerate(mlp.weights(s))]
    h = x
    for k, (w, b) in enumerate(parameters):
        h = h @ w.T + b if k + 1 == len(parameters) else gd.relu(h @ w.T + b)
    loss = functional.cross_entropy(h, y)
    updates = optim.Adam(lr=RATE).updates(loss, [tensor for pair in parameters for tensor in pair])
    step = gd.compile([loss], [x, y], updates=updates)
    data = mlp.batch(s)
    return partial(step, *data)


def _torch(s: Sizes, compiled: bool) -> Run:
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    for w, b in mlp.weights(s):
        linear = nn.Linear(w.shape[1], w.shape[0])
        linear.weight.data, linear.bias.data = torch.from_numpy(w.copy()), torch.from_numpy(b.copy())
        layers += [linear, nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    x, y = map(torch.from_numpy, mlp.batch(s))

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(net(x), y)

    f: Any = torch.compile(loss_of) if compiled else loss_of

    def step() -> list[torch.Tensor]:
        optimizer.zero_grad()
        loss = f(x, y)
        loss.backward()
        optimizer.step()
        return [loss.detach()]

    return step


def _jax(s: Sizes) -> Run:
    import jax
    import jax.numpy as jnp

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        h = x
        for k, (w, b) in enumerate(weights):
            h = h @ w.T + b
            h = h if k + 1 == len(weights) else jax.nn.relu(h)
        return -jnp.take_along_axis(jax.nn.log_softmax(h), y[:, None], 1).mean()

    def update(weights: Any, means: Any, squares: Any, count: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(weights, x, y)
        count = count + 1
        means = jax.tree.map(lambda m, g: m + 0.1 * (g - m), means, gradients)
        squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, gradients)
        rate, root = RATE / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        weights = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), weights, means, squares)
        return weights, means, squares, count, loss

    f = jax.jit(update, donate_argnums=(0, 1, 2))
    weights = jax.tree.map(jnp.asarray, mlp.weights(s))
    state = [weights, jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights), jnp.float32(0)]
    x, y = map(jnp.asarray, mlp.batch(s))

    def step() -> list[Any]:
        *state[:], loss = f(*state, x, y)
        return [loss.block_until_ready()]

    return step


def _flops(s: Sizes) -> float:
    pairs = list(zip(mlp.widths(s), mlp.widths(s)[1:], strict=False))
    return 2.0 * s["batch"] * (3 * sum(a * b for a, b in pairs) - pairs[0][0] * pairs[0][1])


CASE = Case(
    "mlp_step",
    "training step of a multilayer perceptron with Adam",
    {"batch": 100, "inputs": 784, "hidden": 256, "classes": 10},
    {"graphdl": _graphdl, **Peers(_torch).as_builds(), "jax": _jax},
    variants=[{"hidden": 1024, "batch": 256}],
    limit=("fma", _flops),
)
