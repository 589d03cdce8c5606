"""Norms of gradients layer by layer: which layers learn, which stand still, which are about to explode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..calculus import grad
from ..compiler import compile
from ..errors import GradientError
from ..ir import Graph, Tensor
from ..nn.buffer import is_buffer
from ..nn.module import Module
from ..nn.state import parameter_names
from ..optim.clipping import sum_of_squares
from ..picture import figure as new_figure
from ..record import record
from ..table import Table
from ..types import is_floating

BAR = 30  # characters of the longest bar


@record
class LayerNorms:
    """One layer: its elements, the Euclidean norm of its parameters and that of the loss's gradient by them, all taken together."""

    name: str
    elements: int
    parameters: float
    gradient: float

    @property
    def ratio(self) -> float:
        """The gradient's norm over the parameters'."""
        return self.gradient / self.parameters if self.parameters else math.inf if self.gradient else 0.0


@record
class GradientNorms:
    """The norms of every layer, in the order of declaration."""

    layers: tuple[LayerNorms, ...]

    @property
    def total(self) -> float:
        """The norm of the whole gradient, which `clip_by_norm` compares with its limit."""
        return math.sqrt(sum(layer.gradient**2 for layer in self.layers))

    @property
    def table(self) -> Table:
        largest = max((layer.gradient for layer in self.layers if math.isfinite(layer.gradient)), default=0.0) or 1.0
        rows = tuple(
            (one.name, f"{one.elements:,}", f"{one.parameters:.3e}", f"{one.gradient:.3e}", f"{one.ratio:.1e}", _bar(one.gradient / largest))
            for one in self.layers
        )
        columns = ("layer", "elements", "|parameters|", "|gradient|", "ratio", "")
        return Table("norm of the gradient by layer", columns, rows, ("",), ("all", "", "", f"{self.total:.3e}"))

    def __str__(self) -> str:
        return self.table.text()

    def _repr_html_(self) -> str:
        return self.table.html()

    def plot(self, path: str | Path) -> None:
        """Draw the gradients' norms on a logarithmic scale. Raises GraphdlError where matplotlib is missing."""
        figure = new_figure(7, 1 + 0.25 * len(self.layers))
        axes = figure.subplots()
        axes.barh([layer.name for layer in self.layers], [layer.gradient for layer in self.layers], log=True)
        axes.set(xlabel="norm of the gradient")
        axes.invert_yaxis()
        figure.savefig(path)


def _bar(share: float) -> str:
    return "█" * round(BAR * share) if math.isfinite(share) else "not finite"


def gradient_norms(loss: Tensor, parameters: Module | Iterable[Tensor] | None = None, inputs: Mapping[str, Any] | None = None, **named: Any) -> GradientNorms:
    """The norm of dloss/dparameters in every layer, at these inputs, given by name; parameters of one module are one layer.

    `parameters` are those of a module, or tensors, or else all floating ones that `loss` depends on. Raises GradientError where
    there are none or no derivative, CallError for unfit inputs.
    """
    tensors = parameters.parameters() if isinstance(parameters, Module) else list(parameters) if parameters is not None else _trainable(loss)
    if not tensors:
        raise GradientError("gradient_norms: the loss depends on no floating parameters")
    groups: dict[str, list[int]] = {}
    for position, name in enumerate(parameter_names(tensors).values()):
        groups.setdefault(name.rpartition(".")[0] or name, []).append(position)
    squares = [sum_of_squares(gradient.astype("float64")) for gradient in grad(loss, tensors)]
    found = compile(squares, Graph(loss).inputs)(**{**(inputs or {}), **named})
    layers = []
    for name, members in groups.items():
        arrays = [tensors[k].value for k in members]
        norm = math.sqrt(sum(float(np.sum(np.square(array, dtype=np.float64))) for array in arrays))
        layers.append(LayerNorms(name, sum(array.size for array in arrays), norm, math.sqrt(sum(float(found[k]) for k in members))))
    return GradientNorms(tuple(layers))


def _trainable(loss: Tensor) -> list[Tensor]:
    return [tensor for tensor in Graph(loss).parameters if is_floating(tensor.dtype) and not is_buffer(tensor)]
