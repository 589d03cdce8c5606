"""What happens beside training: callbacks, early stopping, and telling how far it is."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .trainer import Trainer

Array = np.ndarray[Any, Any]


class Callback:
    """Called by `Trainer.fit` at its turns; a subclass overrides what it needs. `trainer.stop()` ends after the epoch."""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_batch_end(self, trainer: Trainer, samples: int, record: Mapping[str, float]) -> None:
        """After a step on a batch of `samples`, with its loss and metrics."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, record: Mapping[str, float]) -> None:
        """After an epoch, with what the history got."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also when training was interrupted."""


class Callbacks(Callback):
    """Several callbacks as one: each is told in its turn."""

    def __init__(self, *callbacks: Callback) -> None:
        self.callbacks = callbacks

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Tell all of them."""
        for callback in self.callbacks:
            callback.on_fit_begin(trainer)

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Tell all of them."""
        for callback in self.callbacks:
            callback.on_epoch_begin(trainer, epoch)

    def on_batch_end(self, trainer: Trainer, samples: int, record: Mapping[str, float]) -> None:
        """Tell all of them."""
        for callback in self.callbacks:
            callback.on_batch_end(trainer, samples, record)

    def on_epoch_end(self, trainer: Trainer, epoch: int, record: Mapping[str, float]) -> None:
        """Tell all of them."""
        for callback in self.callbacks:
            callback.on_epoch_end(trainer, epoch, record)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Tell all of them."""
        for callback in self.callbacks:
            callback.on_fit_end(trainer)


class EarlyStop(Callback):
    """Stops when `monitor` has not become better by more than `min_delta` for `patience` epochs.

    `monitor` is the validation loss if there is one, else the loss, unless named; lower is better unless `mode="max"`.
    With `restore_best`, the parameters of the best epoch are put back at the end.
    """

    def __init__(self, patience: int = 5, monitor: str | None = None, min_delta: float = 0.0, mode: str = "min", restore_best: bool = True) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStop: mode is min or max, not {mode!r}")
        self.patience = patience
        self.monitor = monitor
        self.min_delta = min_delta
        self.mode = mode
        self.restore_best = restore_best
        self.best = math.nan
        self.waited = 0
        self.arrays: dict[str, Array] = {}

    def on_epoch_end(self, trainer: Trainer, epoch: int, record: Mapping[str, float]) -> None:
        """Compare the epoch with the best one."""
        if self._better(self._measured(record)):
            self.best, self.waited = self._measured(record), 0
            self.arrays = {name: tensor.value.copy() for name, tensor in trainer.model_state().items()} if self.restore_best else {}
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.stop()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Put the best parameters back."""
        state = trainer.model_state()
        for name, array in self.arrays.items():
            np.copyto(state[name].value, array)

    def _measured(self, record: Mapping[str, float]) -> float:
        name = self.monitor or ("validation_loss" if "validation_loss" in record else "loss")
        if name not in record:
            raise ValueError(f"EarlyStop: there is no measure {name!r}, only {', '.join(record)}")
        return record[name]

    def _better(self, value: float) -> bool:
        gain = self.best - value if self.mode == "min" else value - self.best
        return math.isnan(self.best) or gain > self.min_delta


class Lines(Callback):
    """One line of text for each epoch."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, record: Mapping[str, float]) -> None:
        """Write the line."""
        sys.stdout.write(f"epoch {epoch + 1}/{trainer.epochs}  {tell(record)}  {trainer.samples_per_second:,.0f} samples/s\n")


class Bar(Callback):
    """A bar on the terminal that fills in each epoch, with the loss so far and the speed; a line stays for each epoch."""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Draw it."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeRemainingColumn())
        self.display = Progress(*columns, transient=True)
        self.display.start()
        self.task = self.display.add_task("", total=trainer.samples, told="")

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Empty it."""
        self.display.reset(self.task, total=trainer.samples, description=f"epoch {epoch + 1}/{trainer.epochs}", told="")

    def on_batch_end(self, trainer: Trainer, samples: int, record: Mapping[str, float]) -> None:
        """Fill it a little."""
        self.display.update(self.task, advance=samples, told=f"loss {record['loss']:.4g}  {trainer.samples_per_second:,.0f} samples/s")

    def on_epoch_end(self, trainer: Trainer, epoch: int, record: Mapping[str, float]) -> None:
        """Leave a line."""
        self.display.console.print(f"epoch {epoch + 1}/{trainer.epochs}  {tell(record)}  {trainer.samples_per_second:,.0f} samples/s", highlight=False)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Take it away."""
        self.display.stop()


def tell(record: Mapping[str, float]) -> str:
    """A record in one line."""
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in record.items())
