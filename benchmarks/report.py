"""Results as a table and a plot."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from .case import FRAMEWORKS
from .suite import Comparison, Measured

Limits = dict[tuple[str, int], float]  # ("fma" or "copy", threads): operations or bytes per second
COLUMNS = ("case", "sizes", "threads", "framework", "median", "spread", "times graphdl's", "of the limit", "cold", "cached", "memory", "step holds", "off by")


def machine() -> str:
    """The processor's model and the number of cores."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {len(models) or '?'} cores"


def duration(seconds: float) -> str:
    """With a unit that suits it."""
    for factor, unit in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def rows_of(comparison: Comparison, limits: Limits) -> list[list[str]]:
    """One row per framework."""
    return [_row(comparison, one, limits) for one in comparison.measured]


def _row(c: Comparison, one: Measured, limits: Limits) -> list[str]:
    sizes = " ".join(f"{name}={size}" for name, size in c.sizes.items())
    head = [c.case.name, sizes, str(c.threads), one.framework]
    if one.failure:
        return [*head, one.failure[:60], *[""] * (len(COLUMNS) - len(head) - 1)]
    ratio = ""
    if one.framework != "graphdl" and c.of("graphdl"):
        middle, low, high = c.ratio(one)
        ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})"
    share = ""
    if c.case.limit:
        kind, amount = c.case.limit
        share = f"{100 * amount(c.sizes) / one.median / limits[kind, c.threads]:.0f}% {kind}"
    held = f"{one.held / 2**20:.3g} MiB" if one.held else ""
    apart = f"{one.difference:.0e}" if one.framework != "graphdl" else ""
    return [
        *head, duration(one.median), f"{100 * one.spread:.0f}%", ratio, share, duration(one.cold), duration(one.cached),
        f"{one.memory / 2**20:.0f} MiB", held, apart,
    ]  # fmt: skip


def markdown(comparisons: Sequence[Comparison], limits: Limits, command: str) -> str:
    """The whole report."""
    missing = sorted(set(FRAMEWORKS) - {one.framework for c in comparisons for one in c.measured})
    lines = ["# Measurements", "", f"{machine()}. `{command}`", ""]
    for (kind, threads), limit in sorted(limits.items()):
        unit = "GFLOP/s" if kind == "fma" else "GB/s"
        lines.append(f"- {kind} limit on {threads} threads: {limit / 1e9:.0f} {unit}")
    lines += [f"- {name}: not installed, or not asked for" for name in missing]
    lines += ["", *_geometric_means(comparisons), "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(row) for c in comparisons for row in rows_of(c, limits)]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _geometric_means(comparisons: Sequence[Comparison]) -> list[str]:
    found = []
    for name in FRAMEWORKS:
        ratios = [c.ratio(one)[0] for c in comparisons if c.of("graphdl") and name != "graphdl" and (one := c.of(name))]
        if ratios:
            found.append(f"{name} takes {_mean(ratios):.2f} times as long as graphdl in the geometric mean of {len(ratios)}, {min(ratios):.2f} times at least.")
    return [*found, "", *_ready(comparisons)]


def _ready(comparisons: Sequence[Comparison]) -> list[str]:
    """From the beginning of the import to the first result, where both are measured."""
    found = []
    for name in FRAMEWORKS:
        pairs = [(own, one) for c in comparisons if name != "graphdl" and (own := c.of("graphdl")) and (one := c.of(name))]
        if pairs:
            cold = _mean((one.imported + one.cold) / (own.imported + own.cold) for own, one in pairs)
            cached = _mean((one.imported + one.cached) / (own.imported + own.cached) for own, one in pairs)
            found.append(f"Imported and with its first result {name} is ready after {cold:.2f} times as long, {cached:.2f} times where caches are filled.")
    return found


def _mean(values: Iterable[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))
