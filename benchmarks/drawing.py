"""Results as a plot: times as bars, and every case under the machine's roofline (Williams, Waterman, Patterson 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .case import FRAMEWORKS
from .report import Limits
from .suite import Comparison


def plot(comparisons: Sequence[Comparison], limits: Limits, path: Path) -> bool:
    """Draw bars of the times relative to graphdl's, and below them a roofline for each number of threads; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    shown = [c for c in comparisons if c.of("graphdl")]
    names = [name for name in FRAMEWORKS if any(c.of(name) for c in shown)]
    threads = sorted({c.threads for c in shown})
    heights = [1 + 0.18 * len(shown) * len(names), *(6 for _ in threads)]
    figure = Figure(figsize=(8, sum(heights)), layout="constrained")
    parts = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _bars(parts[0], shown, names)
    for part, count in zip(parts[1:], threads, strict=True):
        _roofline(part, [c for c in shown if c.threads == count], names, limits["fma", count], limits["copy", count])
        part.set_title(f"{count} threads")
    figure.savefig(path)
    return True


def _bars(axes: Any, shown: Sequence[Comparison], names: Sequence[str]) -> None:
    for k, name in enumerate(names):
        places = [(position + k / (len(names) + 1), c.ratio(one)[0]) for position, c in enumerate(shown) if (one := c.of(name))]
        axes.barh([place for place, _ in places], [ratio for _, ratio in places], 1 / (len(names) + 1), label=name)
    axes.set_yticks([position + 0.4 for position in range(len(shown))], [f"{c.case.name} {tuple(c.sizes.values())} x{c.threads}" for c in shown])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("time, graphdl = 1")
    axes.legend()


def _roofline(axes: Any, shown: Sequence[Comparison], names: Sequence[str], operations: float, bandwidth: float) -> None:
    """All frameworks stand at the operations and bytes of graphdl's kernels: who takes longer stands lower."""
    counted = [(c, own) for c in shown if (own := c.of("graphdl")) and own.flops and own.moved]
    ridge = operations / bandwidth
    intensities = [own.flops / own.moved for _, own in counted]
    span = min([*intensities, ridge]) / 2, max([*intensities, ridge]) * 2
    axes.loglog([span[0], ridge, span[1]], [span[0] * bandwidth, operations, operations], color="black", label="fma and copy limits")
    for name in names:
        points = [(own.flops / own.moved, own.flops / one.median) for c, own in counted if (one := c.of(name))]
        axes.scatter([x for x, _ in points], [y for _, y in points], s=14, label=name)
    axes.set(xlabel="operations per byte", ylabel="operations per second")
    axes.legend(loc="lower right")
