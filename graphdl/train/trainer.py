"""Training: a compiled step called on batches, measured, shown, stopped and resumed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..compiler import Executable, compile
from ..errors import GraphdlError
from ..ir import Graph, Tensor
from ..nn.buffer import is_buffer
from ..nn.state import parameter_names
from ..optim import Optimizer
from ..types import is_floating
from .batches import Batch, Batches, Data, batch_length, epoch_order
from .callbacks import Bar, Callback, Callbacks, EarlyStop, Lines
from .checkpoint import load_checkpoint, save_checkpoint
from .history import PREFIX, History
from .page import ReportPage
from .range_test import RangeTest, range_test

Array = np.ndarray[Any, Any]


class Trainer:
    """Trains what `loss` depends on.

    `metrics` names further scalars to measure with it. `parameters` are all floating parameters the loss depends on, but
    no buffers, unless given. The loss of an epoch is the mean over its batches, weighted by their sizes.
    """

    def __init__(
        self,
        loss: Tensor,
        optimizer: Optimizer,
        metrics: Mapping[str, Tensor] | None = None,
        parameters: Iterable[Tensor] | None = None,
        *,
        backend: str = "native",
        threads: int | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        self.measures: dict[str, Tensor] = {"loss": loss, **(metrics or {})}
        for name, measure in self.measures.items():
            if measure.shape != () or (name == "loss" and measure is not loss):
                raise GraphdlError(f"Trainer: {name} must be a scalar and not another loss; it is {measure.type}")
        self.graph = Graph(list(self.measures.values()))
        self.optimizer = optimizer
        self.parameters = trainable(loss) if parameters is None else list(parameters)
        self.updates = optimizer.updates(loss, self.parameters)
        self.callbacks = list(callbacks)
        self.history = History()
        self.stopped = False
        self.epochs = 0
        self.samples: int | None = None
        self.samples_per_second = 0.0
        self.batch: Batch = {}
        self._options: dict[str, Any] = {"backend": backend, "threads": threads}
        self._programs: dict[Any, Executable] = {}

    @property
    def step(self) -> Executable:
        """The compiled training step: measures out, parameters updated."""
        return self._program("step", list(self.measures.values()), updates=self.updates)

    def _program(self, key: Any, outputs: Sequence[Tensor], **options: Any) -> Executable:
        if key not in self._programs:
            inputs = options.pop("inputs", self.graph.inputs)
            self._programs[key] = compile(list(outputs), inputs, **self._options, **options)
        return self._programs[key]

    def fit(
        self,
        data: Data,
        epochs: int = 1,
        batch_size: int = 32,
        validation: Data | None = None,
        shuffle: bool = True,
        seed: int = 0,
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
        early_stop: EarlyStop | int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: str | os.PathLike[str] | None = None,
        report: str | os.PathLike[str] | None = None,
    ) -> History:
        """Train until `epochs` epochs are done, and return what was measured; see `Batches` for `data` and `validation`.

        `seed` decides the order of the samples. `early_stop` is an `EarlyStop` or its patience. After each epoch, a
        checkpoint is written to `checkpoint`; `resume` takes one up and goes on to the same bits. `progress` shows a
        bar on a terminal and a line for each epoch elsewhere. At the end, a page with curves, layers and samples is written
        to `report`.
        """
        batches = Batches(data, self.graph.inputs, batch_size)
        stop = EarlyStop(early_stop) if isinstance(early_stop, int) else early_stop
        self.history, self.stopped, self.epochs, self.samples = History(), False, epochs, batches.samples
        done = 0 if resume is None else load_checkpoint(self, resume, seed=seed, early_stop=stop)
        shown = [*([_display()] if progress else []), *([] if report is None else [ReportPage(report)])]
        told = Callbacks(*self.callbacks, *callbacks, *([stop] if stop else []), *shown)
        told.on_fit_begin(self)
        try:
            for epoch in range(done, epochs):
                if self.stopped:
                    break
                order = epoch_order(seed, epoch) if shuffle else None
                record = self._epoch(batches.epoch(order), epoch, told)
                if validation is not None:
                    record |= {PREFIX + name: value for name, value in self.evaluate(validation, batch_size).items()}
                self.history.add(record)
                told.on_epoch_end(self, epoch, record)
                if checkpoint is not None:
                    save_checkpoint(self, checkpoint, epoch=epoch + 1, seed=seed, early_stop=stop)
        finally:
            told.on_fit_end(self)
        return self.history

    def _epoch(self, batches: Iterable[Batch], epoch: int, told: Callback) -> dict[str, float]:
        told.on_epoch_begin(self, epoch)
        step, mean, begun = self.step, _Mean(self.measures), time.perf_counter()
        for batch in batches:
            values, count = step(**batch), batch_length(batch)
            self.batch = batch
            mean.add(values, count)
            self.samples_per_second = mean.count / (time.perf_counter() - begun)
            told.on_batch_end(self, count, mean.last)
        return mean.result()

    def stop(self) -> None:
        """End training after the epoch that runs."""
        self.stopped = True

    def evaluate(self, data: Data, batch_size: int = 32) -> dict[str, float]:
        """The loss and the metrics on `data` in inference mode, means over the batches weighted by their sizes."""
        program = self._program("evaluate", list(self.measures.values()), mode="inference")
        mean = _Mean(self.measures)
        for batch in Batches(data, self.graph.inputs, batch_size).epoch():
            mean.add(program(**batch), batch_length(batch))
        return mean.result()

    def predict(self, outputs: Tensor, data: Data, batch_size: int = 32) -> Array:
        """`outputs`, whose first axis is the samples, on all of `data` in inference mode."""
        inputs = Graph(outputs).inputs
        program = self._program(outputs, [outputs], inputs=inputs, mode="inference")
        found = [program(**batch)[0] for batch in Batches(data, inputs, batch_size).epoch()]
        return np.concatenate(found)

    def range_test(self, data: Data, lowest: float = 1e-6, highest: float = 10.0, steps: int = 100, batch_size: int = 32, seed: int = 0) -> RangeTest:
        """Train with a rate that grows from `lowest` to `highest` by one factor, and put everything back: see where the loss falls.

        Ends early where the loss is four times the best one or not finite. Smith 2017, section 3.3. Raises ValueError for rates that
        do not grow, GraphdlError for an optimiser whose rate follows a schedule.
        """
        return range_test(self, data, lowest, highest, steps, batch_size, seed)

    def model_state(self) -> dict[str, Tensor]:
        """Parameters, buffers and random states that the measures depend on, by name."""
        own = {id(tensor) for tensor in self.optimizer.state().values()}
        held = [*self.graph.parameters, *(tensor for tensor in self.updates if id(tensor) not in own)]
        return {name: tensor for tensor, name in parameter_names(dict.fromkeys(held)).items()}

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint holds: the model's state and the optimiser's, this with `optimizer/` before its names."""
        return self.model_state() | {f"optimizer/{name}": tensor for name, tensor in self.optimizer.state().items()}


class _Mean:
    """Means of several measures over batches, weighted by the batches' sizes."""

    def __init__(self, names: Iterable[str]) -> None:
        self.totals = dict.fromkeys(names, 0.0)
        self.last: dict[str, float] = {}
        self.count = 0

    def add(self, values: Sequence[Array], count: int) -> None:
        self.last = {name: float(value) for name, value in zip(self.totals, values, strict=True)}
        self.totals = {name: total + count * self.last[name] for name, total in self.totals.items()}
        self.count += count

    def result(self) -> dict[str, float]:
        if not self.count:
            raise GraphdlError("the data gave no batches: an iterator can be used for one epoch only, so give a function that returns one")
        return {name: total / self.count for name, total in self.totals.items()}


def trainable(loss: Tensor) -> list[Tensor]:
    """The floating parameters that `loss` depends on and that are no buffers."""
    return [tensor for tensor in Graph(loss).parameters if is_floating(tensor.dtype) and not is_buffer(tensor)]


def _display() -> Callback:
    return Bar() if sys.stdout.isatty() else Lines()
