"""How far a gradient reaches: its norm at every place along an axis, such as the steps of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..calculus import grad
from ..compiler import compile
from ..ir import Tensor
from ..ir.node import FUNCTIONS
from ..op import normalize_axis
from ..picture import figure as new_figure
from ..record import record
from ..table import Table

BAR = 40  # characters of the longest bar


@record
class GradientFlow:
    """`norms[k]` is the Euclidean norm of the gradient by all elements at place k of `axis`."""

    norms: np.ndarray[Any, np.dtype[Any]]
    name: str
    axis: int

    @property
    def table(self) -> Table:
        largest = float(np.max(self.norms, initial=0.0)) or 1.0
        rows = tuple((str(k), f"{norm:.3e}", "█" * round(BAR * norm / largest)) for k, norm in enumerate(self.norms.tolist()))
        return Table(f"norm of the gradient by {self.name} along axis {self.axis}", ("place", "norm", ""), rows, ("",))

    def __str__(self) -> str:
        return self.table.text()

    def _repr_html_(self) -> str:
        return self.table.html()

    def plot(self, path: str | Path) -> None:
        """Draw the norms on a logarithmic scale. Raises GraphdlError where matplotlib is missing."""
        figure = new_figure(7, 4)
        axes = figure.subplots()
        axes.semilogy(self.norms, marker="o")
        axes.set(xlabel=f"axis {self.axis} of {self.name}", ylabel="norm of the gradient")
        figure.savefig(path)


def gradient_flow(loss: Tensor, tensor: Tensor, axis: int, inputs: Mapping[str, Any] | None = None, **named: Any) -> GradientFlow:
    """The norms of dloss/dtensor along `axis` of `tensor`, at these inputs, given by name.

    Raises GradientError where there is no derivative, ShapeError for an axis out of range, CallError for unfit inputs.
    """
    kept = normalize_axis(axis, tensor.ndim)
    gradient = grad(loss, tensor)
    others = tuple(k for k in range(tensor.ndim) if k != kept)
    norms = FUNCTIONS["sqrt"](FUNCTIONS["sum"](gradient * gradient, axis=others))
    found = compile(norms)(**{**(inputs or {}), **named})
    return GradientFlow(np.asarray(found), tensor.name or tensor.node.told, kept)
