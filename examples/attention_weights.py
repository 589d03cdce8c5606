"""An encoder learns which of Python's help topics a sentence is from; then its attention is shown, word by word."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim

Array = NDArray[Any]
TOPICS = ("string-methods", "debugger", "compound", "formatstrings", "customization", "typesmapping")
START, UNKNOWN = "[start]", "[rare]"


def load(length: int) -> tuple[Array, Array, list[str]]:
    """Word numbers (N, length) of sentences behind a start word, 0 where they end; topics (N,); and the words."""
    found = [
        (re.findall(r"[a-z_]{2,}", sentence.lower())[: length - 1], k) for k, name in enumerate(TOPICS) for sentence in re.split(r"\.\s|\n\n", topics[name])
    ]
    sentences = [(words, k) for words, k in found if len(words) >= 5]
    order = np.random.default_rng(0).permutation(len(sentences))
    counts = Counter(word for words, _ in sentences for word in words)
    vocabulary = ["", START, UNKNOWN, *(word for word, count in sorted(counts.items()) if count > 2)]
    numbers = {word: k for k, word in enumerate(vocabulary)}
    rows = np.zeros((len(sentences), length), np.int64)
    for row, at in zip(rows, order, strict=True):
        words = [START, *sentences[at][0]]
        row[: len(words)] = [numbers.get(word, numbers[UNKNOWN]) for word in words]
    return rows, np.array([sentences[at][1] for at in order]), vocabulary


class Encoder(nn.Module):
    """Word and position, attention between words, and the topic read from the start word."""

    def __init__(self, vocabulary: int, features: int, heads: int) -> None:
        self.embedding = nn.Embedding(vocabulary, features, padding_idx=0)
        self.positions = nn.SinusoidalPositions(features, dropout=0.3)
        self.attention = nn.MultiheadAttention(features, heads, batch_first=True)
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(0.3)
        self.topic = nn.Linear(features, len(TOPICS))

    def forward(self, words: gd.Tensor) -> tuple[gd.Tensor, gd.Tensor]:
        """Scores (N, topics), and how much each word (N, L, L) attends to each."""
        x = self.positions(self.embedding(words))
        mixed, weights = self.attention(x, x, x, key_padding_mask=words == 0)
        return self.topic(self.dropout(self.norm(x + mixed)[:, 0])), weights


def show(words: list[str], weights: Array) -> None:
    """A table of percentages: each line's word attends to each column's."""
    print("".ljust(16) + "".join(word[:7].rjust(8) for word in words))
    for word, row in zip(words, weights, strict=True):
        print(word[:15].ljust(16) + "".join(f"{100 * weight:8.0f}" for weight in row))


def draw(words: list[str], weights: Array, path: Path) -> None:
    """The same table as a picture."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(6, 6), layout="constrained")).subplots()
    axes.imshow(weights, cmap="Blues")
    axes.set_xticks(range(len(words)), words, rotation=90)
    axes.set_yticks(range(len(words)), words)
    figure.savefig(path)


def main() -> None:
    """Train as the flags say, print the accuracy, and show the attention of one held-out sentence."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"epochs": 25, "features": 32, "heads": 2, "length": 24}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--picture", type=Path, help="where to draw the attention; needs matplotlib")
    arguments = parser.parse_args()
    rows, labels, vocabulary = load(arguments.length)
    held_out = len(rows) // 5
    gd.random.seed(0)
    words, topic = gd.placeholder("words", ("N", "L"), "int64"), gd.placeholder("topic", ("N",), "int64")
    scores, weights = Encoder(len(vocabulary), arguments.features, arguments.heads)(words)
    loss = nn.functional.cross_entropy(scores, topic)
    trainer = gd.Trainer(loss, optim.AdamW(lr=3e-3, weight_decay=0.1), metrics={"accuracy": nn.metrics.accuracy(scores, topic)})
    trainer.fit({"words": rows[held_out:], "topic": labels[held_out:]}, epochs=arguments.epochs, batch_size=32)

    look = gd.compile([scores, weights], [words], mode="inference")
    guesses, attention = look(rows[:held_out])
    right = guesses.argmax(axis=1) == labels[:held_out]
    print(f"{right.mean():.1%} of {held_out} held-out sentences are told; the commonest topic alone would be {np.bincount(labels).max() / len(labels):.1%}")
    lengths = (rows[:held_out] > 0).sum(axis=1)
    chosen = int(np.flatnonzero(right & (lengths >= 8) & (lengths <= 12))[0])
    told = [vocabulary[k] for k in rows[chosen, : lengths[chosen]]]
    print(f"from {TOPICS[labels[chosen]]!r}:")
    show(told, attention[chosen, : len(told), : len(told)])
    if arguments.picture:
        draw(told, attention[chosen, : len(told), : len(told)], arguments.picture)


if __name__ == "__main__":
    main()
