"""The textbook neuron: two inputs, two weights and a bias, three activations, and every gradient as a formula.

With inputs 2 and 3, weights 4 and -1 and bias 1 the neuron's sum is 4*2 - 1*3 + 1 = 6.
"""

from __future__ import annotations

import numpy as np

import graphdl as gd


def main() -> None:
    """Print each activation's value and its gradients, as formulas and as numbers."""
    inputs = gd.placeholder("inputs", (2,))
    weights = gd.parameter(np.array([4, -1], np.float32), "weights")
    bias = gd.parameter(np.array(1, np.float32), "bias")
    total = gd.sum(weights * inputs) + bias
    values = np.array([2, 3], np.float32)
    print(f"weights . inputs + bias = {float(gd.compile(total, inputs=[inputs])(values)):g}")

    for name, activation in {"relu": gd.relu, "sigmoid": gd.sigmoid, "tanh": gd.tanh}.items():
        output = activation(total)
        gradients = gd.grad(output, [weights, bias])
        value, by_weights, by_bias = gd.compile([output, *gradients], inputs=[inputs])(values)
        print(f"\n{name}: output {float(value):.7g}, gradient by weights {np.asarray(by_weights)}, by bias {float(by_bias):.7g}\n")
        for gradient in gradients:
            print(gd.explain(gradient))


if __name__ == "__main__":
    main()
