"""A report of every layer while it learns: norms, how large updates are beside the weights, and units that never fire."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calculus import grad
from ..compiler import compile
from ..inspect.learning import rectified
from ..ir import Graph, Tensor
from ..ir.node import FUNCTIONS
from ..nn.state import parameter_names
from ..picture import figure as new_figure
from ..record import record
from ..table import Table
from .callbacks import Callback
from .history import drawn

if TYPE_CHECKING:
    from .trainer import Trainer

Array = np.ndarray[Any, Any]
HEALTHY = (1e-4, 1e-1)  # of update to weight, in a step; about 1e-3 is usual (Karpathy, CS231n)


@record
class Layers:
    """One look at all layers: by parameter the Euclidean norms of `weight`, `gradient` and `update`, and the `ratio` of update to
    weight; by activation the part of its units that are 0 for the whole batch (`dead`); and the learning rate."""

    epoch: int
    rate: float
    weight: Mapping[str, float]
    gradient: Mapping[str, float]
    update: Mapping[str, float]
    dead: Mapping[str, float]

    @property
    def ratio(self) -> dict[str, float]:
        return {name: self.update[name] / norm if norm else float("nan") for name, norm in self.weight.items()}

    @property
    def table(self) -> Table:
        rows = [
            (name, f"{self.weight[name]:.3e}", f"{self.gradient[name]:.3e}", f"{ratio:.1e}", "" if HEALTHY[0] <= ratio <= HEALTHY[1] or ratio != ratio else "!")
            for name, ratio in self.ratio.items()
        ]
        rows += [(name, "", "", "", f"{part:.0%} dead") for name, part in self.dead.items()]
        return Table(f"epoch {self.epoch + 1}, learning rate {self.rate:.3g}", ("layer", "weight", "gradient", "update/weight", ""), tuple(rows), ("",))

    def __str__(self) -> str:
        return self.table.text(80)

    def _repr_html_(self) -> str:
        return self.table.html()


@dataclass(repr=False)
class LayerReport(Callback):
    """A callback that looks at all layers after every epoch, on its last batch. `show` prints each look.

    `looks` holds them in order; `str` tells the last one. The look at an update is what the optimiser would do next.
    """

    show: bool = False
    looks: list[Layers] = field(default_factory=list)

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Compile what measures."""
        named = parameter_names(trainer.parameters)
        self._names = [named[tensor] for tensor in trainer.parameters]
        gradients = grad(trainer.measures["loss"], trainer.parameters)
        updates = [trainer.updates[tensor] - tensor for tensor in trainer.parameters]
        units = rectified(Graph(trainer.measures["loss"]))
        self._units = _unit_names(units)
        rate = trainer.optimizer.rate()
        norms = [_norm(x) for group in (trainer.parameters, gradients, updates) for x in group]
        inputs = trainer.graph.inputs
        self._program = compile([rate * 1.0, *norms, *map(_dead, units)], inputs)

    def on_epoch_end(self, trainer: Trainer, epoch: int, record: Mapping[str, float]) -> None:
        """Look."""
        changed = [(tensor.value, tensor.value.copy()) for tensor in self._program.compilation.declared.updated]
        found = [float(value) for value in self._program(**trainer.batch)]
        for array, before in changed:
            np.copyto(array, before)
        count = len(self._names)
        weight, gradient, update = (dict(zip(self._names, found[1 + k * count :], strict=False)) for k in range(3))
        dead = dict(zip(self._units, found[1 + 3 * count :], strict=True))
        self.looks.append(Layers(epoch, found[0], weight, gradient, update, dead))
        if self.show:
            sys.stdout.write(f"{self.looks[-1]}\n")

    def __str__(self) -> str:
        return str(self.looks[-1]) if self.looks else "no epoch was looked at"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.looks[-1]._repr_html_() if self.looks else str(self)

    def _repr_svg_(self) -> str | None:
        """The curves, where matplotlib is installed."""
        return drawn(self.plot)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Curves over the epochs as a matplotlib figure: norms of weights and gradients, updates to weights, dead units.

        Raises GraphdlError where matplotlib is not installed.
        """
        what = ["weight", "gradient", "ratio", *(["dead"] if self._units else [])]
        figure = new_figure(5 * len(what), 4)
        for axes, name in zip(figure.subplots(1, len(what), squeeze=False)[0], what, strict=True):
            draw = axes.plot if name == "dead" else axes.semilogy
            for layer in getattr(self.looks[-1], name) if self.looks else ():
                draw([look.epoch + 1 for look in self.looks], [getattr(look, name)[layer] for look in self.looks], marker=".", label=layer)
            axes.set(xlabel="epoch", ylabel={"ratio": "update / weight", "dead": "dead units"}.get(name, f"norm of the {name}"))
            axes.xaxis.get_major_locator().set_params(integer=True)
            if self.looks and len(getattr(self.looks[-1], name)) <= 12:
                axes.legend(fontsize="x-small")
        if path is not None:
            figure.savefig(path)
        return figure


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = FUNCTIONS["sqrt"](FUNCTIONS["sum"]((x * x).astype("float64")))
    return norm


def _dead(x: Tensor) -> Tensor:
    """The part of the units that are 0 in all of the batch. Units lie along axis 1 of images, else along the last."""
    unit = 1 if x.ndim == 4 else x.ndim - 1
    silent = FUNCTIONS["max"](abs(x), axis=tuple(k for k in range(x.ndim) if k != unit)) == 0
    part: Tensor = FUNCTIONS["mean"](silent.astype("float64"))
    return part


def _unit_names(units: Sequence[Tensor]) -> list[str]:
    """Modules and lines, made unique."""
    names: list[str] = []
    for tensor in units:
        known = tensor.node.provenance
        name = f"{tensor.node.op.name} {min(known.modules) if known.modules else known.source or ''}".strip()
        names.append(name if name not in names else f"{name} ({len(names)})")
    return names
