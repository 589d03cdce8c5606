"""One network and three learning rates: too small, right, and too large. The right one is found by a range test."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim
from graphdl.data import load_digits

Array = NDArray[Any]
Curves = dict[str, list[float]]


def declare() -> gd.Tensor:
    """The loss of a network on images x and digits y, with the same weights every time."""
    gd.random.seed(0)
    x, y = gd.placeholder("x", ("N", 64)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    return nn.functional.cross_entropy(net(x), y)


def curve(data: dict[str, Array], rate: float, steps: int, batch: int) -> list[float]:
    """The loss at every step of stochastic gradient descent with this rate."""
    loss = declare()
    step = gd.compile(loss, updates=optim.SGD(lr=rate).updates(loss, gd.Graph(loss).parameters))
    generator = np.random.default_rng(0)
    found = []
    for _ in range(steps):
        chosen = generator.integers(0, len(data["y"]), batch)
        found.append(float(step(**{name: array[chosen] for name, array in data.items()})))
    return found


def draw(curves: Curves, path: Path) -> None:
    """All curves in one picture."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(7, 4), layout="constrained")).subplots()
    for name, losses in curves.items():
        axes.plot(losses, label=name)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    figure.savefig(path)
    print(f"the curves are drawn in {path}")


def main() -> None:
    """Find the right rate, train with it and with two wrong ones, and show the losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--picture", type=Path, default=Path("learning_rate.png"))
    arguments = parser.parse_args()
    images, digits = load_digits()
    data: dict[str, Array] = {"x": images.reshape(-1, 64), "y": digits}

    found = gd.Trainer(declare(), optim.SGD(lr=0.1)).range_test(data, lowest=1e-4, highest=100.0, steps=120, batch_size=arguments.batch)
    right = found.suggestion
    rates = {"too small": right / 300, "right": right, "too large": right * 100}
    print(f"the range test falls fastest at {right:.2g}")
    curves = {f"{name}, {rate:.2g}": curve(data, rate, arguments.steps, arguments.batch) for name, rate in rates.items()}

    print("mean loss of steps".ljust(20) + "".join(name.rjust(20) for name in curves))
    for first in range(0, arguments.steps, max(1, arguments.steps // 8)):
        last = min(first + max(1, arguments.steps // 8), arguments.steps)
        print(f"{first:5} to {last:5}".ljust(20) + "".join(f"{np.mean(losses[first:last]):20.4g}" for losses in curves.values()))
    try:
        draw(curves, arguments.picture)
    except ImportError:
        print("a picture needs matplotlib: pip install graphdl[plot]")


if __name__ == "__main__":
    main()
