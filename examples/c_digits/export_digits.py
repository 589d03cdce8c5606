"""Export the training step and the classifier of a small network for the C program beside this file, and the digits as raw bytes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim
from graphdl.data import load_digits

LEARNED = 1500  # images to learn from; the rest are held out
BATCH = 100


def build() -> tuple[gd.Executable, gd.Executable]:
    """The training step (Adam) and the classifier of a network with one hidden layer, for any number of images."""
    gd.random.seed(0)
    x = gd.placeholder("x", ("N", 64))
    y = gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    logits = net(x)
    loss = nn.functional.cross_entropy(logits, y)
    step = gd.compile(loss, inputs=[x, y], updates=optim.Adam(lr=3e-3).updates(loss, net.parameters()))
    return step, gd.compile(gd.argmax(logits, axis=1), inputs=[x], mode="inference")


def export(folder: Path, step: gd.Executable, classify: gd.Executable, target: str | None = None) -> None:
    """Write both programs and `digits.bin`: all images (float32), then all labels (int64), little-endian."""
    gd.export(step, folder, "step", target)
    gd.export(classify, folder, "classify", target)
    images, labels = load_digits()
    (folder / "digits.bin").write_bytes(images.astype("<f4").tobytes() + labels.astype("<i8").tobytes())


def train(step: gd.Executable, classify: gd.Executable, epochs: int) -> str:
    """What the C program does and prints, in this process."""
    images, labels = load_digits()
    images = images.reshape(-1, 64)
    lines, loss = [], np.float32(0)
    for epoch in range(1, epochs + 1):
        for begin in range(0, LEARNED, BATCH):
            loss = step(images[begin : begin + BATCH], labels[begin : begin + BATCH])
        lines.append(f"epoch {epoch}: loss {float(loss):.9g}\n")
    right = _right(classify(images[LEARNED:]), labels[LEARNED:])
    return "".join(lines) + f"{right} of {len(labels) - LEARNED} held-out images are recognised\n"


def _right(found: NDArray[Any], labels: NDArray[Any]) -> int:
    return int(np.sum(found == labels))


def main() -> None:
    """Export into a folder; with --train also train here and print what the C program will print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", help="a family or LLVM triple; this machine if not given")
    parser.add_argument("--train", type=int, metavar="EPOCHS", help="also train here, for comparison")
    arguments = parser.parse_args()
    step, classify = build()
    export(arguments.folder, step, classify, arguments.target)
    if arguments.train:
        print(train(step, classify, arguments.train), end="")


if __name__ == "__main__":
    main()
