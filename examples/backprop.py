"""Backpropagation by hand: forward, compare, backward, update, on a network of two layers that learns exclusive or.

Every weight's blame, which is its gradient, stands beside the formula that symbolic differentiation found for it.
"""

from __future__ import annotations

import argparse

import numpy as np

import graphdl as gd

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
TARGETS = np.array([[0], [1], [1], [0]], np.float32)


def main() -> None:
    """Print one step in full, then train on, and print what the network has learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=2.0)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    shapes = {"W1": (2, 4), "b1": (4,), "W2": (4, 1), "b2": (1,)}
    weights = {name: gd.parameter(generator.normal(size=shape).astype(np.float32), name) for name, shape in shapes.items()}

    # Forward: what the network says. Compare: how far off it is.
    x, target = gd.placeholder("x", ("N", 2)), gd.placeholder("target", ("N", 1))
    hidden = gd.tanh(x @ weights["W1"] + weights["b1"])
    output = gd.sigmoid(hidden @ weights["W2"] + weights["b2"])
    loss = gd.mean((output - target) ** 2)

    # Backward: the blame of every weight. Update: a step against it.
    blame = dict(zip(weights, gd.grad(loss, weights.values()), strict=True))
    updates = {weight: weight - arguments.rate * blame[name] for name, weight in weights.items()}
    look = gd.compile([output, loss, *blame.values()], inputs=[x, target])
    step = gd.compile(loss, inputs=[x, target], updates=updates)

    said, error, *amounts = look(INPUTS, TARGETS)
    print("forward and compare")
    for row, guess, right in zip(INPUTS, said[:, 0], TARGETS[:, 0], strict=True):
        print(f"  {row[0]:.0f} xor {row[1]:.0f}: says {guess:.3f}, should be {right:.0f}, off by {guess - right:+.3f}")
    print(f"  loss {float(error):.4f}\n\nbackward: what leads to the blames, from the output")
    derivation = gd.explain(blame["W1"])
    print("\n".join(f"  {line}" for line in str(derivation).partition("Backward, from the output:\n")[2].splitlines()))

    print(f"\n{'weight':8}{'value':>9}{'blame':>10}{'updated':>10}   formula of the blame")
    for (name, weight), amount in zip(weights.items(), amounts, strict=True):
        formula = str(gd.explain(blame[name]).steps[-1].formula)
        for place in np.ndindex(weight.value.shape):
            value, share = weight.value[place], amount[place]
            label = name + str([k + 1 for k in place])
            print(f"{label:8}{value:9.4f}{share:10.5f}{value - arguments.rate * share:10.4f}   {formula}")

    losses = [float(step(INPUTS, TARGETS)) for _ in range(arguments.steps)]
    print(f"\nupdate, {arguments.steps} times: loss {losses[0]:.4f} becomes {losses[-1]:.5f}")
    guesses = look(INPUTS, TARGETS)[0][:, 0]
    print("  " + ", ".join(f"{a:.0f} xor {b:.0f} is {guess:.2f}" for (a, b), guess in zip(INPUTS, guesses, strict=True)))


if __name__ == "__main__":
    main()
