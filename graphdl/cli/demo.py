"""Train a network on real handwritten digits and show what the compiler does with it."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import graphdl as gd
from graphdl import nn, optim
from graphdl.data import load_digits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

HELD_OUT = 360
BATCH = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training images (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="folder for the trained network (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Declare, differentiate, train, test, time and save a network of two layers."""
    from rich.console import Console

    console = Console(highlight=False)
    train, test = split_digits()
    x = gd.placeholder("x", ("N", 64))
    y = gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    logits = net(x)
    loss = nn.functional.cross_entropy(logits, y)
    grads = gd.grad(loss, net.parameters())
    show(console, "The declared graph", gd.Graph([loss]))
    show(console, "One gradient, derived: the last layer's weight", gd.explain(grads[2]))

    console.rule(f"Training on {len(train['y'])} real handwritten digits", align="left")
    trainer = gd.Trainer(loss, optim.Adam(lr=3e-3), metrics={"accuracy": nn.metrics.accuracy(logits, y)})
    trainer.fit(train, epochs=arguments.epochs, batch_size=BATCH, validation=test)
    predict = gd.compile(logits, inputs=[x], mode="inference")
    accuracy = float(np.mean(np.argmax(predict(test["x"]), axis=1) == test["y"]))
    console.print(f"\n{accuracy:.1%} of {len(test['y'])} held-out digits are recognised.\n")

    console.rule(f"Loss and all gradients of a batch of {BATCH}", align="left")
    batch = train["x"][:BATCH], train["y"][:BATCH]
    numpy, native = (time_call(gd.compile([loss, *grads], inputs=[x, y], backend=name), *batch) for name in ("numpy", "native"))
    console.print(f"NumPy {numpy * 1e6:.0f} us, native {native * 1e6:.0f} us: {numpy / native:.1f} times as fast.\n")

    path = arguments.output / "digits.safetensors"
    arguments.output.mkdir(parents=True, exist_ok=True)
    gd.save(net, path)
    console.print(f"The trained network is saved in {path}.", soft_wrap=True)
    return 0


def split_digits() -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The digits in an order shuffled once and for all, as what is learned and what is held out."""
    images, labels = load_digits()
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images.reshape(-1, 64)[order], labels[order]
    return {"x": images[HELD_OUT:], "y": labels[HELD_OUT:]}, {"x": images[:HELD_OUT], "y": labels[:HELD_OUT]}


def show(console: Console, title: str, content: object) -> None:
    """Print `content` under a heading as it stands, without markup or wrapping."""
    console.rule(title, align="left")
    console.print(str(content), markup=False, soft_wrap=True)
    console.print()


def time_call(function: Callable[..., object], *arguments: NDArray[Any], budget: float = 0.3) -> float:
    """The median seconds of a call, over as many calls as fit into `budget` seconds."""
    function(*arguments)
    times: list[float] = []
    deadline = time.perf_counter() + budget
    while not times or time.perf_counter() < deadline:
        begin = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
