"""The multilayer perceptron of two cases: equal weights and data for everybody."""

from __future__ import annotations

import numpy as np

from .case import Array, Sizes, normal


def widths(s: Sizes) -> list[int]:
    """The sizes of the layers."""
    return [s["inputs"], s["hidden"], s["hidden"], s["classes"]]


def weights(s: Sizes) -> list[tuple[Array, Array]]:
    """Weight (out, in) and bias of every layer."""
    found = []
    for k, (inputs, outputs) in enumerate(zip(widths(s), widths(s)[1:], strict=False)):
        weight = normal(outputs, inputs, seed=10 + k) / np.sqrt(inputs, dtype=np.float32)
        found.append((weight, np.zeros(outputs, np.float32)))
    return found


def batch(s: Sizes) -> tuple[Array, Array]:
    """Inputs and classes."""
    return normal(s["batch"], s["inputs"], seed=1), np.random.default_rng(2).integers(0, s["classes"], s["batch"])
