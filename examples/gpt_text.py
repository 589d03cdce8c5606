"""A character GPT trained on the text of Python's own help topics, beside a model of three characters; then it writes."""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim

Array = NDArray[Any]


def load() -> tuple[Array, Array, list[str]]:
    """The numbers of the characters to learn from, those of the last tenth, held out, and the characters."""
    text = "\n".join(topics[name] for name in sorted(topics))
    characters = sorted(set(text))
    numbers = {character: k for k, character in enumerate(characters)}
    coded = np.array([numbers[character] for character in text])
    cut = len(coded) * 9 // 10
    return coded[:cut], coded[cut:], characters


def baseline(learned: Array, held_out: Array, vocabulary: int) -> float:
    """Bits per character of a 3-gram model that mixes the frequencies behind two, one and no characters, each with a good weight."""
    counts = [Counter(zip(*(learned[k : len(learned) - order + k].tolist() for k in range(order + 1)), strict=False)) for order in range(3)]
    before = [Counter[Any]() for _ in range(3)]
    for order in range(3):
        for gram, count in counts[order].items():
            before[order][gram[:-1]] += count
    bits = 0.0
    for gram in zip(held_out[:-2].tolist(), held_out[1:-1].tolist(), held_out[2:].tolist(), strict=True):
        chance = 1 / vocabulary
        for order in range(3):
            part = gram[2 - order :]
            seen, trust = before[order][part[:-1]], 3.0
            chance = (counts[order][part] + trust * chance) / (seen + trust)
        bits -= math.log2(chance)
    return bits / (len(held_out) - 2)


def windows(coded: Array, starts: Array, length: int) -> tuple[Array, Array]:
    """Stretches of the text and the characters that follow each of theirs."""
    rows = coded[starts[:, None] + np.arange(length + 1)]
    return rows[:, :-1], rows[:, 1:]


def main() -> None:
    """Train as the flags say, print bits per character, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"steps": 1000, "batch": 16, "context": 128, "features": 96, "layers": 2, "heads": 4, "write": 120}.items():
        parser.add_argument(f"--{name}", type=int, default=default)

    parser.add_argument("--rate", type=float, default=3e-3, help="the highest learning rate")
    a = parser.parse_args()
    learned, held_out, characters = load()
    gd.random.seed(0)
    model = nn.models.gpt(len(characters), a.context, a.features, a.layers, a.heads, dropout=0.0)
    ids, following = gd.placeholder("ids", ("N", "L"), "int64"), gd.placeholder("following", ("N", "L"), "int64")
    loss = nn.functional.cross_entropy(model(ids).reshape(-1, len(characters)), following.reshape(-1)) / math.log(2)
    schedule = optim.OneCycleLR(a.rate, total_steps=a.steps)
    step = gd.compile(loss, [ids, following], updates=optim.AdamW(lr=schedule, weight_decay=0.1).updates(loss, model.parameters()))
    measure = gd.compile(loss, [ids, following], mode="inference")

    generator, started = np.random.default_rng(0), time.perf_counter()
    for k in range(a.steps):
        bits = step(*windows(learned, generator.integers(0, len(learned) - a.context - 1, a.batch), a.context))
        if k % max(1, a.steps // 10) == 0:
            print(f"step {k:5}: {float(bits):.3f} bits per character, {time.perf_counter() - started:.0f} s")
    starts = np.arange(0, len(held_out) - a.context - 1, a.context)
    reached = np.mean([measure(*windows(held_out, part, a.context)) for part in np.array_split(starts, max(1, len(starts) // a.batch))])
    print(f"held-out text: GPT {reached:.3f} bits per character, 3-gram {baseline(learned, held_out, len(characters)):.3f}")

    writer = nn.models.Generator(model)
    prompt = np.array([characters.index(character) for character in "The "])
    started = time.perf_counter()
    written = writer.generate(prompt, min(a.write, a.context - len(prompt)), temperature=0.7, top_k=20, seed=0)
    print("".join(characters[k] for k in written))
    print(f"{1e6 * (time.perf_counter() - started) / (len(written) - len(prompt)):.0f} microseconds for each character")


if __name__ == "__main__":
    main()
