"""How long it takes to explain, lint and cost the training step of a GPT.

python benchmarks/inspection.py --layers 12
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import graphdl as gd
from graphdl import nn, optim


def training_step(layers: int) -> gd.Graph:
    """The loss of a small GPT, its gradients, and all that AdamW changes."""
    gd.random.seed(0)
    model = nn.models.gpt(256, 128, 64, layers, 4)
    ids, following = gd.placeholder("ids", ("N", "L"), "int64"), gd.placeholder("following", ("N", "L"), "int64")
    loss = nn.functional.cross_entropy(model(ids).reshape(-1, 256), following.reshape(-1))
    return gd.Graph([loss, *gd.grad(loss, model.parameters()), *optim.AdamW(lr=1e-3).updates(loss, model.parameters()).values()])


def main() -> None:
    """Print the seconds of the first call of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    step = training_step(parser.parse_args().layers)
    actions: dict[str, Callable[[], object]] = {"explain": lambda: str(gd.explain(step)), "lint": lambda: gd.lint(step), "cost": lambda: gd.cost(step)}
    for name, action in actions.items():
        begun = time.perf_counter()
        action()
        print(f"{name:8} {time.perf_counter() - begun:6.2f} s   {len(step.nodes)} nodes")


if __name__ == "__main__":
    main()
