"""A task that needs memory: say at the end which of eight symbols came first, k steps ago. RNN against LSTM.

Before training, the norm of the gradient by the state at every step shows why: it vanishes in a plain network, explodes in one
with large weights, and lives on in an LSTM whose forget gates begin open (Gers et al. 2000). Clipping cuts what explodes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim

Array = NDArray[Any]
SYMBOLS = 8


class Reader(nn.Module):
    """Symbols (N, L) through a recurrent layer to scores (N, SYMBOLS) for the first one."""

    def __init__(self, kind: str, hidden: int) -> None:
        self.symbols = nn.Embedding(SYMBOLS, SYMBOLS)
        self.layer: nn.Module = nn.LSTM(SYMBOLS, hidden) if kind == "LSTM" else nn.RNN(SYMBOLS, hidden, nonlinearity="tanh" if kind == "RNN" else "relu")
        self.scores = nn.Linear(hidden, SYMBOLS)
        weights = dict(self.layer.named_parameters())
        if kind == "LSTM":
            weights["bias_ih_l0"].value[hidden : 2 * hidden] = 3.0  # the forget gates
        if kind == "exploding":
            nn.init.orthogonal_(weights["weight_hh_l0"], gain=2.0)

    def forward(self, text: gd.Tensor) -> gd.Tensor:
        """The scores."""
        outputs, _ = self.layer(self.symbols(text.T))
        scores: gd.Tensor = self.scores(outputs[-1])
        return scores


def declare(kind: str, hidden: int) -> tuple[gd.Tensor, gd.Tensor, Reader]:
    """Scores, loss and network."""
    gd.random.seed(0)
    text, first = gd.placeholder("text", ("N", "L"), "int64"), gd.placeholder("first", ("N",), "int64")
    scores = (model := Reader(kind, hidden))(text)
    return scores, nn.functional.cross_entropy(scores, first), model


def sample(generator: np.random.Generator, count: int, length: int) -> dict[str, Array]:
    """Random texts, and the first symbol of each."""
    text = generator.integers(0, SYMBOLS, (count, length))
    return {"text": text, "first": text[:, 0]}


def main() -> None:
    """Show the gradients of all three networks, then train the first two."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"back": 30, "hidden": 32, "steps": 1500, "batch": 32}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--picture", type=Path, default=Path("rnn_memory.png"))
    a = parser.parse_args()
    generator = np.random.default_rng(0)
    shown, norms = sample(generator, a.batch, a.back + 1), {}
    for kind in ("RNN", "LSTM", "exploding"):
        _, loss, model = declare(kind, a.hidden)
        flows = gd.gradient_through_time(loss, shown)
        norms[kind] = np.sqrt(sum(flow.norms**2 for flow in flows))  # of an LSTM, the states h and c together
        gradients = gd.grad(loss, model.parameters())
        whole, cut = (optim.global_norm(each) for each in (gradients, optim.clip_by_norm(gradients, 1.0)))
        before, after = gd.compile([whole, cut], gd.Graph(loss).inputs)(**shown)
        print(f"{kind:10} gradient by the state {a.back} steps back {norms[kind][1]:.1e}, at the last step {norms[kind][-1]:.1e};"
              f" by the weights {float(before):.2e}, clipped {float(after):.2e}")  # fmt: skip
    print("\nstep " + "".join(f"{kind:>12}" for kind in norms))
    for t in range(1, a.back + 1, max(1, a.back // 10)):
        print(f"{t:4} " + "".join(f"{values[t]:12.1e}" for values in norms.values()))
    try:
        from matplotlib.figure import Figure

        axes = (figure := Figure(figsize=(7, 4), layout="constrained")).subplots()
        for kind, values in norms.items():
            axes.semilogy(np.maximum(values[1:], math.ulp(0.0)), marker=".", label=kind)
        axes.set(xlabel="step", ylabel="norm of the gradient by the state")
        axes.legend()
        figure.savefig(a.picture)
    except ImportError:
        print("a picture needs matplotlib: pip install graphdl[plot]")

    print()
    for kind in ("RNN", "LSTM"):
        scores, loss, model = declare(kind, a.hidden)
        inputs = gd.Graph(loss).inputs
        step = gd.compile(loss, inputs, updates=optim.Adam(lr=3e-3, clip_norm=1.0).updates(loss, model.parameters()))
        for _ in range(a.steps):
            step(**sample(generator, a.batch, a.back + 1))
        tested = sample(generator, 1000, a.back + 1)
        right = gd.compile(scores, [inputs[0]], mode="inference")(tested["text"]).argmax(axis=1) == tested["first"]
        print(f"{kind:4} tells the symbol {a.back} steps back in {right.mean():.1%} of 1000 new texts; guessing would be {1 / SYMBOLS:.1%}")


if __name__ == "__main__":
    main()
