"""The report of a training as one page that needs nothing else: curves, layers, learning rate, and samples of the last batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..table import Table
from .history import History
from .layers import LayerReport

if TYPE_CHECKING:
    from .trainer import Trainer

Array = np.ndarray[Any, Any]
SAMPLES = 8
SHOWN = 12  # numbers of a sample
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Training</title><style>
body {{ font: 14px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }}
table {{ border-collapse: collapse; margin: 1rem 0; }} td, th {{ padding: .15rem .6rem; border-bottom: 1px solid #8884; text-align: right; }}
caption {{ text-align: left; font-weight: 600; }} svg {{ max-width: 100%; height: auto; background: #fff; }}
</style></head><body><h1>Training</h1>{body}</body></html>
"""


class ReportPage(LayerReport):
    """A callback that writes the page at the end of `fit`, also of one that was interrupted. Without matplotlib it has tables only."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(path)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Write it. Raises OSError where that cannot be done."""
        self.path.write_text(PAGE.format(body="\n".join(self._sections(trainer))), encoding="utf-8")

    def _sections(self, trainer: Trainer) -> Iterator[str]:
        yield "<h2>Epochs</h2>" + _drawn(trainer.history) + trainer.history._repr_html_()
        if self.looks:
            rates = Table("learning rate", ("epoch", "rate"), tuple((str(look.epoch + 1), f"{look.rate:.3g}") for look in self.looks))
            yield "<h2>Layers and the flow of gradients</h2>" + _drawn(self) + self._repr_html_() + rates.html()
        yield "<h2>Samples of the last batch</h2>" + "".join(_samples(name, np.asarray(array)) for name, array in trainer.batch.items())


def _drawn(curves: History | LayerReport) -> str:
    """The plot as SVG, or nothing without matplotlib."""
    text = curves._repr_svg_()
    return "" if text is None else text[text.index("<svg") :]


def _samples(name: str, array: Array) -> str:
    """The first samples: images as grey squares, else numbers."""
    rows = array[:SAMPLES] if array.ndim else array[None]
    if rows.ndim >= 3 and min(rows.shape[-2:]) >= 4 and rows.dtype.kind == "f":
        return f"<h3>{escape(name)}</h3>" + "".join(_image(row.reshape(-1, *row.shape[-2:])[0]) for row in rows)
    shown = tuple((str(k), ", ".join(f"{x:.4g}" for x in row.reshape(-1)[:SHOWN]) + (" …" if row.size > SHOWN else "")) for k, row in enumerate(rows))
    return Table(f"{name}: {array.dtype}{list(array.shape)}", ("sample", "values"), shown, ("values",)).html()


def _image(image: Array) -> str:
    low, high = float(image.min()), float(image.max())
    grey = np.zeros(image.shape, int) if high <= low else ((image - low) / (high - low) * 255).astype(int)
    cells = "".join(f'<rect x="{x}" y="{y}" width="1" height="1" fill="#{v:02x}{v:02x}{v:02x}"/>' for (y, x), v in np.ndenumerate(grey))
    height, width = image.shape
    return f'<svg viewBox="0 0 {width} {height}" width="84" height="84" role="img" shape-rendering="crispEdges">{cells}</svg> '
