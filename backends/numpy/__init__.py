"""The reference backend: every node by its op's own NumPy meaning, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphdl.evaluation import evaluate_nodes
from graphdl.ir import Graph, Tensor
from graphdl.pipeline import Compilation
from graphdl.types import numpy_dtype

Array = np.ndarray[Any, Any]


class Interpreter:
    """Runs a compiled graph with NumPy."""

    def __init__(self, compilation: Compilation, **options: Any) -> None:
        self.compiled = compilation.compiled

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The visible results; parameters are updated in place after everything was computed."""
        compiled = self.compiled
        sizes = compiled.signature.bind(arrays)
        values = interpret(compiled.graph, arrays, sizes)
        fresh = [np.array(values[tensor], numpy_dtype(tensor.dtype), order="C") for tensor in compiled.graph.outputs]
        for parameter, value in zip(compiled.updated, fresh[compiled.visible :], strict=True):
            np.copyto(parameter.value, value)
        return fresh[: compiled.visible]


def interpret(graph: Graph, arrays: Sequence[Array], sizes: dict[str, int]) -> dict[Tensor, Array]:
    """Every tensor's array, for these inputs and symbolic sizes."""
    values: dict[Tensor, Array] = dict(zip(graph.inputs, arrays, strict=True))
    evaluate_nodes(graph.nodes, values, sizes)
    return values


build = Interpreter
