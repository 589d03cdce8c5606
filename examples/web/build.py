"""Train a network on handwritten digits, compile it to WebAssembly, and put all of it into one page that needs no server.

    python examples/web/build.py          writes build/index.html beside this file; open it in a browser

It needs a linker for WebAssembly: wasm-ld, which is part of LLVM's lld (on Debian or Ubuntu: apt install lld).
"""

from __future__ import annotations

import argparse
import base64
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim
from graphdl.data import load_digits

HERE = Path(__file__).parent
HELD_OUT = 297
SCRIPTS = ("recogniser.js", "page.js")


def train(epochs: int) -> tuple[gd.Executable, float]:
    """The program that gives the probability of every digit for (N, 64) shares of ink, and the share of held-out images that it recognises."""
    gd.random.seed(0)
    images, labels = load_digits()
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images[order], labels[order]
    x, y = gd.placeholder("x", ("N", 64)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10))
    logits = net(x)
    trainer = gd.Trainer(nn.functional.cross_entropy(logits, y), optim.AdamW(lr=3e-3))
    learned = dict(zip("xy", varied(images[HELD_OUT:], labels[HELD_OUT:]), strict=True))
    trainer.fit(learned, epochs=epochs, batch_size=100, progress=False)
    predict = gd.compile(gd.softmax(logits, axis=1), inputs=[x], mode="inference")
    found = np.argmax(predict(images[:HELD_OUT].reshape(-1, 64)), axis=1)
    return predict, float(np.mean(found == labels[:HELD_OUT]))


def varied(images: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The images as they are and a pixel to each side: people draw where they like."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    moved = [padded[:, 1:9, column : column + 8] for column in (0, 1, 1, 2)]
    return np.concatenate(moved).reshape(-1, 64), np.tile(labels, len(moved))


def build(folder: Path, epochs: int) -> float:
    """Write `digits.wasm`, its header and `index.html`, and return the share of held-out images that are recognised."""
    program, accuracy = train(epochs)
    code, *_ = gd.export(program, folder, "digits", "wasm", format="shared", parameters="baked")
    page = (HERE / "index.html").read_text(encoding="utf-8")
    for name in SCRIPTS:
        page = page.replace(f"<!-- {name} -->", f"\n{(HERE / name).read_text(encoding='utf-8')}")
    page = page.replace("<!-- digits.wasm -->", base64.b64encode(code.read_bytes()).decode())
    (folder / "index.html").write_text(page, encoding="utf-8")
    return accuracy


def main() -> None:
    """Build, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "build", help="where to write (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training images (default %(default)s)")
    arguments = parser.parse_args()
    accuracy = build(arguments.folder, arguments.epochs)
    print(f"{accuracy:.1%} of {HELD_OUT} held-out digits are recognised.")
    for name in ("digits.wasm", "index.html"):
        print(f"{arguments.folder / name}: {(arguments.folder / name).stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
