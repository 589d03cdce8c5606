"""The learning rate range test: train with a rate that grows from step to step, and look where the loss falls. Smith 2017, section 3.3."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..errors import GraphdlError
from ..picture import figure as new_figure
from ..record import record
from ..table import Table
from .batches import Batch, Batches, Data, epoch_order

if TYPE_CHECKING:
    from .trainer import Trainer

MEMORY = 0.9  # how much of its past the smoothed loss keeps
DIVERGED = 4.0  # how many times the best smoothed loss is too much
BAR = 40  # characters of the longest bar


@record
class RangeTest:
    """The losses of the steps that were taken, each with its learning rate."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def smoothed(self) -> tuple[float, ...]:
        """Exponential means of the losses, corrected for their beginning."""
        mean, found = 0.0, []
        for step, loss in enumerate(self.losses, 1):
            mean = MEMORY * mean + (1 - MEMORY) * loss
            found.append(mean / (1 - MEMORY**step))
        return tuple(found)

    @property
    def suggestion(self) -> float:
        """The rate in the middle of the tenth of the steps over which the smoothed loss falls most, before it first rises by half.

        NaN with fewer than three losses there.
        """
        smoothed = np.array(self.smoothed)
        risen = ~(smoothed <= 1.5 * np.minimum.accumulate(smoothed))
        before = smoothed[: int(risen.argmax())] if risen.any() else smoothed
        if len(before) < 3:
            return math.nan
        reach = max(1, len(before) // 10)
        falls = before[:-reach] - before[reach:]
        return self.rates[int(falls.argmax()) + reach // 2]

    @property
    def table(self) -> Table:
        smoothed = self.smoothed
        largest = max((loss for loss in smoothed if math.isfinite(loss)), default=1.0) or 1.0
        rows = tuple(
            (f"{rate:.2e}", f"{loss:.4g}", f"{mean:.4g}", "█" * round(BAR * max(mean, 0.0) / largest) if math.isfinite(mean) else "not finite")
            for rate, loss, mean in zip(self.rates, self.losses, smoothed, strict=True)
        )
        return Table(f"learning rate range test: {self.suggestion:.2e} is steepest", ("rate", "loss", "smoothed", ""), rows, ("",))

    def __str__(self) -> str:
        return self.table.text()

    def _repr_html_(self) -> str:
        return self.table.html()

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the losses over the rates. Raises GraphdlError where matplotlib is missing."""
        axes = (figure := new_figure(6, 4)).subplots()
        axes.semilogx(self.rates, self.losses, alpha=0.3)
        axes.semilogx(self.rates, self.smoothed)
        axes.axvline(self.suggestion, linestyle=":")
        axes.set(xlabel="learning rate", ylabel="loss", title=f"steepest at {self.suggestion:.2e}")
        figure.savefig(path)


def range_test(trainer: Trainer, data: Data, lowest: float, highest: float, steps: int, batch_size: int, seed: int) -> RangeTest:
    """`Trainer.range_test`."""
    if not 0 < lowest < highest or steps < 3:
        raise ValueError(f"range_test: needs 0 < lowest < highest and at least 3 steps, not {lowest}, {highest} and {steps}")
    if trainer.optimizer.schedule is not None:
        raise GraphdlError(f"range_test: the learning rate follows {trainer.optimizer.schedule}: give the optimiser a number")
    state = trainer.state()
    before = {name: tensor.value.copy() for name, tensor in state.items()}
    try:
        return _climb(trainer, data, np.geomspace(lowest, highest, steps).tolist(), batch_size, seed)
    finally:
        for name, array in before.items():
            np.copyto(state[name].value, array)


def _climb(trainer: Trainer, data: Data, rates: list[float], batch_size: int, seed: int) -> RangeTest:
    batches = _endless(Batches(data, trainer.graph.inputs, batch_size), seed)
    best, found = math.inf, RangeTest((), ())
    for rate in rates:
        trainer.optimizer.lr = rate
        loss = float(trainer.step(**next(batches))[0])
        found = RangeTest((*found.rates, rate), (*found.losses, loss))
        smoothed = found.smoothed[-1]
        best = min(best, smoothed)
        if not math.isfinite(smoothed) or smoothed > DIVERGED * max(best, 0.0) > 0.0:
            break
    return found


def _endless(batches: Batches, seed: int) -> Iterator[Batch]:
    """Batches of one epoch after another."""
    epoch = 0
    while True:
        empty = True
        for batch in batches.epoch(epoch_order(seed, epoch)):
            empty = False
            yield batch
        if empty:
            raise GraphdlError("range_test: the data ran out: give arrays, or a function that returns an iterable for every epoch")
        epoch += 1
