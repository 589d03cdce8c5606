"""The slow definition of what graphs mean: every node's `evaluate`, in order. And derivatives by finite differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphdl.ir import Tensor
from graphdl.ir.graph import topological_order

Array = np.ndarray[Any, Any]


def run(outputs: Sequence[Tensor], given: Mapping[Tensor, Array], sizes: Mapping[str, int] | None = None) -> list[Array]:
    """The arrays of `outputs`, given those of the placeholders and the values of symbolic sizes."""
    values: dict[Tensor, Array] = dict(given)
    for node in topological_order(outputs):
        if node.outputs[0] in values:
            continue
        result = node.op.bind(sizes or {}).evaluate(*(values[operand] for operand in node.operands))
        values.update(zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=True))
    return [values[tensor] for tensor in outputs]


def slope(function: Callable[[float], float], step: float = 1e-3) -> float:
    """The derivative at 0 by central differences, with Richardson's extrapolation."""
    coarse = (function(step) - function(-step)) / (2 * step)
    half = step / 2
    fine = (function(half) - function(-half)) / step
    return (4 * fine - coarse) / 3


def directional(function: Callable[..., Array], arrays: Sequence[Array], directions: Sequence[Array | None], weight: Array) -> float:
    """The derivative of sum(weight * function(arrays)) along `directions`; None leaves an array as it is."""

    def along(t: float) -> float:
        moved = [x if d is None else x + t * d for x, d in zip(arrays, directions, strict=True)]
        return float(np.sum(weight * function(*moved)))

    return slope(along)
