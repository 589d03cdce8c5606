"""What was measured in each epoch of training."""

from __future__ import annotations

import html
import io
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import GraphdlError
from ..picture import figure as new_figure

PREFIX = "validation_"


class History(dict[str, list[float]]):
    """Lists of numbers, one for each epoch, by name: `loss`, the metrics, and both again as `validation_...`."""

    @property
    def epochs(self) -> int:
        """How many epochs were recorded."""
        return max(map(len, self.values()), default=0)

    def add(self, record: Mapping[str, float]) -> None:
        """Record one epoch. What was not measured in an epoch is NaN there."""
        before = self.epochs
        for name in record:
            self.setdefault(name, [math.nan] * before)
        for name, values in self.items():
            values.append(float(record.get(name, math.nan)))

    def rows(self) -> list[list[str]]:
        """A table: the names, then a row of numbers for each epoch, counted from 1."""
        numbers = [[str(k + 1), *(f"{values[k]:.6g}" for values in self.values())] for k in range(self.epochs)]
        return [["epoch", *self], *numbers]

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)

    def _repr_svg_(self) -> str | None:
        """The curves, where matplotlib is installed."""
        return drawn(self.plot)

    def _repr_html_(self) -> str:
        head, *body = self.rows()
        lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
        lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in body]
        return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Curves over the epochs as a matplotlib figure, training and validation of one measure together; written to `path` if given.

        Raises GraphdlError where matplotlib is not installed.
        """
        measures = list(dict.fromkeys(name.removeprefix(PREFIX) for name in self)) or ["loss"]
        figure = new_figure(5 * len(measures), 4)
        for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
            for name, label in ((measure, "training"), (PREFIX + measure, "validation")):
                if name in self:
                    axes.plot(range(1, len(self[name]) + 1), self[name], marker=".", label=label)
            axes.set(xlabel="epoch", ylabel=measure)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure


def drawn(plot: Callable[[], Any]) -> str | None:
    """A figure as SVG; None where matplotlib is not installed."""
    stream = io.StringIO()
    try:
        plot().savefig(stream, format="svg")
    except GraphdlError:
        return None
    return stream.getvalue()
