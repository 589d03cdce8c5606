"""An LSTM forecasts the yearly number of sunspots, 1700 to 2008, a year ahead; then its gates are drawn.

The numbers come with the package statsmodels (`pip install statsmodels`). The naive forecast is that a year is like the last one;
a linear one from the last nine years (an autoregression, as Yule made for these numbers in 1927) stands beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim

Array = NDArray[Any]
SPLIT, PAST = 1940, 9  # the first year that is held out, and the years that the linear forecast reads
GATES = ("input", "forget", "cell", "output")


class Forecaster(nn.Module):
    """What comes next, as last year's number plus a change that the LSTM tells: for series (N, L) the forecasts and the gates (L, N, 4, H)."""

    def __init__(self, hidden: int) -> None:
        self.lstm = nn.LSTM(1, hidden)
        self.change = nn.Linear(hidden, 1)

    def forward(self, series: gd.Tensor) -> tuple[gd.Tensor, gd.Tensor]:
        """The forecast of the number behind each one."""
        steps = gd.expand_dims(series.T, 2)
        states, _ = self.lstm(steps)
        before = gd.pad(states[:-1], ((1, 0), (0, 0), (0, 0)))
        (w_ih, w_hh, b_ih, b_hh) = self.lstm.parameters()
        sums = steps @ w_ih.T + b_ih + before @ w_hh.T + b_hh
        i, f, g, o = gd.split(sums, 4, -1)
        return (steps + self.change(states))[:, :, 0].T, gd.stack([i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()], 2)


def error(guess: Array, truth: Array) -> float:
    """The root of the mean squared error, in sunspots."""
    return float(np.sqrt(np.mean((guess - truth) ** 2)))


def linear(series: Array, first: int) -> Array:
    """Least squares forecasts of `series[first:]` from the years before each, fitted to what comes earlier."""
    rows = np.stack([np.append(series[t - PAST : t], 1.0) for t in range(PAST, len(series))])
    weights = np.linalg.lstsq(rows[: first - PAST], series[PAST:first], rcond=None)[0]
    forecasts: Array = rows[first - PAST :] @ weights
    return forecasts


def draw(years: Array, truth: Array, guess: Array, gates: Array, path: Path) -> None:
    """The held-out years with their forecasts, and below them every gate's mean over the units."""
    from matplotlib.figure import Figure

    above, below = (figure := Figure(figsize=(9, 6), layout="constrained")).subplots(2, 1, sharex=True)
    above.plot(years, truth, label="sunspots")
    above.plot(years, guess, label="forecast a year before")
    for k, name in enumerate(GATES):
        below.plot(years, gates[:, k].mean(axis=1), label=name)
    for axes in (above, below):
        axes.legend()
    figure.savefig(path)
    print(f"forecasts and gates are drawn in {path}")


def main() -> None:
    """Train on the years before the split, and compare the forecasts of those behind it."""
    from statsmodels.datasets import sunspots

    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"steps": 600, "hidden": 16, "window": 44, "batch": 32}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--picture", type=Path, default=Path("lstm_series.png"))
    a = parser.parse_args()
    table = sunspots.load_pandas().data
    assert table is not None
    years, spots = table["YEAR"].to_numpy().astype(int), table["SUNACTIVITY"].to_numpy().astype(np.float32)
    first, scale = int(np.flatnonzero(years == SPLIT)[0]), np.float32(100)

    gd.random.seed(0)
    series, following = gd.placeholder("series", ("N", "L")), gd.placeholder("following", ("N", "L"))
    forecast, gates = (model := Forecaster(a.hidden))(series)
    off = (forecast - following)[:, PAST:]
    loss = (off * off).mean()
    rate = optim.CosineAnnealingLR(1e-2, T_max=a.steps)
    step = gd.compile(loss, [series, following], updates=optim.AdamW(lr=rate, weight_decay=0.1, clip_norm=1.0).updates(loss, model.parameters()))
    generator = np.random.default_rng(0)
    for _ in range(a.steps):
        rows = spots[generator.integers(0, first - a.window, a.batch)[:, None] + np.arange(a.window + 1)] / scale
        step(rows[:, :-1], rows[:, 1:])

    found, seen = gd.compile([forecast, gates], [series], mode="inference")(spots[None, :-1] / scale)
    guess, truth = found[0, first - 1 :] * scale, spots[first:]
    errors = {"LSTM": error(guess, truth), "linear": error(linear(spots, first), truth), "naive": error(spots[first - 1 : -1], truth)}
    print(f"error in {years[first]} to {years[-1]}, in sunspots: " + ", ".join(f"{name} {value:.1f}" for name, value in errors.items()))
    print("year  truth  forecast   " + "".join(f"{name:>8}" for name in GATES))
    for k in range(0, len(truth), 6):
        print(f"{years[first + k]}  {truth[k]:5.0f}  {guess[k]:8.0f}   " + "".join(f"{value:8.2f}" for value in seen[first - 1 + k, 0].mean(axis=-1)))
    try:
        draw(years[first:], truth, guess, seen[first - 1 :, 0], a.picture)
    except ImportError:
        print("a picture needs matplotlib: pip install graphdl[plot]")


if __name__ == "__main__":
    main()
