"""Teach a trained ONNX model something new: magika labels files by their bytes, and learns to tell graphdl's printed graphs.

Needs the model that the package magika ships: `pip install graphdl[onnx] magika`.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

import graphdl as gd
from graphdl import nn, optim

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).parents[1]
NEW = "txt"  # what a printed graph is to be called: magika takes it for some programming language


def features(data: bytes, config: dict[str, Any]) -> Array:
    """A file's first and last bytes without white space around them, filled up by the padding token: what the model reads."""
    size, block = config["beg_size"], config["block_size"]
    first, last = data[:block].lstrip()[:size], data[-block:].rstrip()[-size:]
    row = np.full(2 * size, config["padding_token"], "int32")
    row[: len(first)] = list(first)
    row[2 * size - len(last) :] = list(last)
    return row


def printed_graph(generator: random.Random) -> bytes:
    """The text of the gradient graph of a random network."""
    x = gd.placeholder("x", ("N", generator.randrange(3, 40)))
    widths = [int(x.shape[1]), *(generator.randrange(3, 40) for _ in range(generator.randrange(1, 4)))]
    kinds = [nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.Softplus]
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), generator.choice(kinds)())]
    net = nn.Sequential(*layers)
    loss = gd.mean(net(x) * net(x))
    return str(gd.Graph([loss, *gd.grad(loss, net.parameters())])).encode()


def main() -> None:
    """Fine-tune for a few steps and show the labels before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    found = importlib.util.find_spec("magika")
    if found is None or found.origin is None:
        raise SystemExit("the package magika is not installed: pip install magika")
    folder = Path(found.origin).parent / "models" / "standard_v3_3"
    config = json.loads((folder / "config.min.json").read_text(encoding="utf-8"))
    labels = config["target_labels_space"]

    model = gd.onnx.load(folder / "model.onnx")
    (x,), (scores,) = model.inputs, model.outputs
    label = gd.placeholder("label", (x.shape[0],), "int64")
    loss = nn.functional.cross_entropy(gd.log(scores + 1e-9), label)
    step = gd.compile(loss, inputs=[x, label], updates=optim.Adam(lr=3e-4).updates(loss, model.parameters()))
    predict = gd.compile(scores, inputs=[x], mode="inference")

    generator = random.Random(0)
    graphs = np.stack([features(printed_graph(generator), config) for _ in range(24)])
    others = np.stack([features(path.read_bytes(), config) for path in sorted((ROOT / "graphdl").rglob("*.py"))[:24]])
    bytes_of = {"new graphs": graphs[16:], "new Python files": others[16:]}

    def show(when: str) -> None:
        for what, rows in bytes_of.items():
            names = [labels[k] for k in predict(rows).argmax(axis=1)]
            print(f"{when:>6}: {what}: {', '.join(f'{names.count(name)} {name}' for name in dict.fromkeys(names))}")

    show("before")
    data = np.concatenate([graphs[:16], others[:16]])
    wanted = np.array([labels.index(NEW)] * 16 + [labels.index("python")] * 16)
    for number in range(arguments.steps):
        value = step(data, wanted)
        if number % 5 == 0 or number == arguments.steps - 1:
            print(f"step {number:>3}: loss {float(value):.4f}")
    show("after")


if __name__ == "__main__":
    main()
