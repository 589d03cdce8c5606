"""The recurrent networks of three cases: one layer over a sequence, and a linear layer on its last output."""

from __future__ import annotations

from typing import Any

from .case import Case, Sizes
from .training import Network, Shapes, Weights, linear, normal_and_classes

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def case(kind: str) -> Case:
    """The training step of PyTorch's `kind`."""

    def shapes(s: Sizes) -> Shapes:
        rows = GATES[kind] * s["hidden"]
        held = {"weight_ih_l0": (rows, s["inputs"]), "weight_hh_l0": (rows, s["hidden"]), "bias_ih_l0": (rows,), "bias_hh_l0": (rows,)}
        return {**{f"cells.{name}": shape for name, shape in held.items()}, **linear("head", s["hidden"], 10)}

    def graphdl(s: Sizes) -> Any:
        from graphdl import nn

        return _last(nn)(getattr(nn, kind)(s["inputs"], s["hidden"], batch_first=True), nn.Linear(s["hidden"], 10))

    def torch(s: Sizes) -> Any:
        from torch import nn

        return _last(nn)(getattr(nn, kind)(s["inputs"], s["hidden"], batch_first=True), nn.Linear(s["hidden"], 10))

    def jax(s: Sizes, weights: Weights, x: Any) -> Any:
        import jax as framework

        own = {name.removeprefix("cells."): value for name, value in weights.items()}
        projected = x.transpose(1, 0, 2) @ own["weight_ih_l0"].T + own["bias_ih_l0"]
        zero = framework.numpy.zeros((x.shape[0], s["hidden"]))

        def step(state: Any, given: Any) -> Any:
            return _step(kind, state, given, state[0] @ own["weight_hh_l0"].T + own["bias_hh_l0"]), None

        (last, *_), _ = framework.lax.scan(step, (zero, zero) if kind == "LSTM" else (zero,), projected)
        return last @ weights["head.weight"].T + weights["head.bias"]

    def flops(s: Sizes) -> float:
        tokens, rows = s["batch"] * s["length"], GATES[kind] * s["hidden"]
        return tokens * rows * (4.0 * s["inputs"] + 6.0 * s["hidden"]) + 60.0 * s["batch"] * s["hidden"]

    network = Network(shapes, lambda s: normal_and_classes(s["batch"], (s["length"], s["inputs"]), 10), graphdl, torch, jax)
    sizes = {"batch": 32, "length": 64, "inputs": 64, "hidden": 128}
    return network.case(f"{kind.lower()}_step", f"training step of an {kind} with Adam", sizes, flops, [{"hidden": 256, "length": 128}])


def _last(nn: Any) -> Any:
    class Last(nn.Module):  # type: ignore[misc]
        def __init__(self, cells: Any, head: Any) -> None:
            super().__init__()
            self.cells, self.head = cells, head

        def forward(self, x: Any) -> Any:
            return self.head(self.cells(x)[0][:, -1])

    return Last


def _step(kind: str, state: Any, given: Any, recurrent: Any) -> Any:
    """The new state, by PyTorch's formulas and order of gates."""
    import jax
    import jax.numpy as jnp

    h = state[0]
    if kind == "RNN":
        return (jnp.tanh(given + recurrent),)
    if kind == "GRU":
        (r, z, n), (hr, hz, hn) = jnp.split(given, 3, 1), jnp.split(recurrent, 3, 1)
        reset, update = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
        new = jnp.tanh(n + reset * hn)
        return (new + update * (h - new),)
    i, f, g, o = jnp.split(given + recurrent, 4, 1)
    cell = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell
