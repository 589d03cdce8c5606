"""The trainer: it learns, measures rightly, stops, resumes to the same bits, and tells what does not fit."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.errors import CallError, FormatError, GraphdlError, ShapeError, StateError
from graphdl.io import read, write
from graphdl.ops.random_bits import default_state
from graphdl.train import Callback, EarlyStop, History, LayerReport, Trainer, page

Array = np.ndarray[Any, Any]
BACKENDS = ["native", "numpy"]
COUNT = 70
_random = np.random.default_rng(0)
X = _random.normal(size=(COUNT, 6)).astype("f")
Y = (X @ _random.normal(size=(6, 3))).argmax(axis=1)
DATA = {"x": X, "y": Y}


class Task:
    """A small classifier with a trainer."""

    def __init__(self, backend: str = "numpy", dropout: float = 0.0, optimizer: optim.Optimizer | None = None, **options: Any) -> None:
        gd.random.seed(3)
        gd.random.seed(5)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))
        x, y = gd.placeholder("x", ("N", 6)), gd.placeholder("y", ("N",), "int64")
        self.logits = self.net(x)
        self.loss = nn.functional.cross_entropy(self.logits, y)
        metrics = {"accuracy": nn.metrics.accuracy(self.logits, y)}
        self.trainer = Trainer(self.loss, optimizer or optim.Adam(lr=0.05), metrics, backend=backend, **options)

    @property
    def values(self) -> Array:
        return np.concatenate([array.ravel() for array in self.net.state_dict().values()])


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_learns_and_measures(backend: str) -> None:
    task = Task(backend)
    history = task.trainer.fit(DATA, epochs=15, batch_size=16, validation=DATA, progress=False)
    assert list(history) == ["loss", "accuracy", "validation_loss", "validation_accuracy"]
    assert history.epochs == 15
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    logits = task.trainer.predict(task.logits, {"x": X}, batch_size=9).astype("float64")
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(COUNT), Y]
    measured = task.trainer.evaluate(DATA, batch_size=32)
    assert measured["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert measured["accuracy"] == pytest.approx((logits.argmax(axis=1) == Y).mean(), rel=1e-6)
    assert history["validation_loss"][-1] == pytest.approx(measured["loss"], rel=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_gives_the_same_bits(backend: str) -> None:
    first, second, other = Task(backend), Task(backend), Task(backend)
    for task, seed in ((first, 1), (second, 1), (other, 2)):
        task.trainer.fit(DATA, epochs=2, seed=seed, progress=False)
    assert np.array_equal(first.values, second.values)
    assert not np.array_equal(first.values, other.values)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_it_resumes_to_the_same_bits(tmp_path: Path, dropout: float, backend: str) -> None:
    path = tmp_path / "checkpoint"
    state = default_state()
    streams = next(state.streams)
    options: dict[str, Any] = {"batch_size": 16, "validation": DATA, "progress": False, "early_stop": EarlyStop(50, restore_best=False)}

    def make() -> Task:
        state.streams = itertools.count(streams)  # as in a fresh process
        return Task(backend, dropout)

    whole = make()
    expected = whole.trainer.fit(DATA, epochs=6, **options)
    begun, resumed = make(), make()
    gd.random.seed(5)
    begun.trainer.fit(DATA, epochs=3, checkpoint=path, **options)
    gd.random.seed(99)
    history = resumed.trainer.fit(DATA, epochs=6, resume=path, **options)
    assert np.array_equal(resumed.values, whole.values)
    assert history == expected


def test_a_checkpoint_is_loaded_as_a_net_too(tmp_path: Path) -> None:
    task = Task()
    task.trainer.fit(DATA, epochs=1, checkpoint=tmp_path / "c", progress=False)
    before = task.values
    task.net[0].load_state_dict({"weight": np.zeros((8, 6))}, strict=False)
    gd.load(task.net, tmp_path / "c", strict=False)
    assert np.array_equal(task.values, before)


def test_an_unfit_checkpoint_is_told(tmp_path: Path) -> None:
    task, other = Task(), Task(optimizer=optim.SGD(lr=0.1, momentum=0.9))
    task.trainer.fit(DATA, epochs=1, checkpoint=tmp_path / "c", progress=False)
    with pytest.raises(StateError, match=r"missing: optimizer/0\.weight\.momentum_buffer"):
        other.trainer.fit(DATA, resume=tmp_path / "c", progress=False)
    with pytest.raises(ValueError, match="seed 0, not 1"):
        task.trainer.fit(DATA, seed=1, resume=tmp_path / "c", progress=False)
    write({"a": np.ones(1)}, tmp_path / "foreign")
    with pytest.raises(FormatError, match="no checkpoint"):
        task.trainer.fit(DATA, resume=tmp_path / "foreign", progress=False)


def test_early_stop_restores_the_best_epoch(tmp_path: Path) -> None:
    task = Task(optimizer=optim.SGD(lr=0.5))
    seen: list[Array] = []

    class Worsen(Callback):
        def on_epoch_end(self, trainer: Trainer, epoch: int, record: Mapping[str, float]) -> None:
            seen.append(task.values)
            trainer.optimizer.lr = -0.5 if epoch == 1 else trainer.optimizer.lr

    history = task.trainer.fit(DATA, epochs=20, early_stop=2, callbacks=[Worsen()], progress=False, validation=DATA, checkpoint=tmp_path / "c")
    assert history.epochs == 4
    assert np.array_equal(task.values, seen[1])
    arrays, _ = read(tmp_path / "c")
    assert np.array_equal(arrays["0.weight"].ravel(), seen[3][: 8 * 6])
    assert np.array_equal(arrays["best/0.weight"].ravel(), seen[1][: 8 * 6])
    assert task.trainer.fit(DATA, epochs=20, early_stop=2, resume=tmp_path / "c", progress=False).epochs == 4
    assert np.array_equal(task.values, seen[1])


def test_early_stop_can_watch_what_should_grow() -> None:
    stop = EarlyStop(patience=3, monitor="accuracy", mode="max", min_delta=2.0)
    assert Task().trainer.fit(DATA, epochs=20, early_stop=stop, progress=False).epochs == 4
    with pytest.raises(ValueError, match="no measure 'f1'"):
        Task().trainer.fit(DATA, early_stop=EarlyStop(monitor="f1"), progress=False)
    with pytest.raises(ValueError, match="min or max"):
        EarlyStop(mode="least")


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_from_a_function(backend: str) -> None:
    def batches() -> Iterator[dict[str, Any]]:
        for start in range(0, COUNT, 32):
            yield {"x": X[start : start + 32], "y": Y[start : start + 32].tolist()}

    first, second = Task(backend), Task(backend)
    a = first.trainer.fit(batches, epochs=2, progress=False, validation=batches)
    b = second.trainer.fit(DATA, epochs=2, batch_size=32, shuffle=False, progress=False, validation=DATA)
    assert np.array_equal(first.values, second.values)
    assert a == b
    with pytest.raises(GraphdlError, match="a function that returns one"):
        Task(backend).trainer.fit(batches(), epochs=2, progress=False)


def test_values_without_axes_go_into_every_batch() -> None:
    x, scale = gd.placeholder("x", ("N", 2)), gd.placeholder("scale", ())
    layer = nn.Linear(2, 1)
    trainer = Trainer((layer(x) * scale).mean(), optim.SGD(lr=0.1), backend="numpy")
    assert trainer.fit({"x": X[:, :2], "scale": 0.0}, batch_size=50, progress=False)["loss"] == [0.0]


def test_integers_are_widened() -> None:
    first, second = Task(), Task()
    first.trainer.fit({"x": X, "y": Y.astype("uint8")}, progress=False)
    second.trainer.fit(DATA, progress=False)
    assert np.array_equal(first.values, second.values)


def test_callbacks_are_called_in_turn(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    class Record(Callback):
        def on_fit_begin(self, trainer: Trainer) -> None:
            seen.append("fit")

        def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
            seen.append(f"epoch {epoch}")

        def on_batch_end(self, trainer: Trainer, samples: int, record: Mapping[str, float]) -> None:
            assert record.keys() == {"loss", "accuracy"}
            seen.append(f"batch of {samples}")

        def on_epoch_end(self, trainer: Trainer, epoch: int, record: Mapping[str, float]) -> None:
            trainer.stop()

        def on_fit_end(self, trainer: Trainer) -> None:
            seen.append("end")

    Task(callbacks=[Record()]).trainer.fit(DATA, epochs=9, batch_size=40)
    assert seen == ["fit", "epoch 0", "batch of 40", "batch of 30", "end"]
    assert capsys.readouterr().out.startswith("epoch 1/9  loss ")


def test_the_bar_shows_the_loss_and_the_speed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Task().trainer.fit(DATA, epochs=2)
    written = capsys.readouterr().out
    assert "epoch 2/2" in written
    assert "samples/s" in written


def test_only_named_parameters_are_trained() -> None:
    task = Task()
    before = {name: array.copy() for name, array in task.net.state_dict().items()}
    trainer = Trainer(task.loss, optim.SGD(lr=0.1), parameters=task.net[3].parameters(), backend="numpy")
    trainer.fit(DATA, progress=False)
    assert np.array_equal(before["0.weight"], task.net.state_dict()["0.weight"])
    assert not np.array_equal(before["3.weight"], task.net.state_dict()["3.weight"])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"x": X}, CallError, "missing y"),
        ({"x": X, "y": Y, "z": Y}, CallError, "unknown z"),
        ({"x": X, "y": Y[:-1]}, ShapeError, "x: 70, y: 69"),
        ({"x": X[:0], "y": Y[:0]}, ShapeError, "at least 1"),
        ({"x": X.astype("float64"), "y": Y}, CallError, "astype"),
        ({"x": X, "y": Y.astype("f")}, CallError, "astype"),
        ([], GraphdlError, "no batches"),
    ],
)
def test_data_that_does_not_fit_is_told(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Task().trainer.fit(data, progress=False)


def test_options_that_do_not_fit_are_told() -> None:
    task = Task()
    with pytest.raises(GraphdlError, match="loss must be a scalar"):
        Trainer(task.logits, optim.SGD())
    with pytest.raises(ValueError, match="batch_size"):
        task.trainer.fit(DATA, batch_size=0)


def test_history_prints_and_plots(tmp_path: Path) -> None:
    history = History()
    history.add({"loss": 2.0, "accuracy": 0.5})
    history.add({"loss": 1.0, "accuracy": 0.75, "validation_loss": 3.0})
    assert math.isnan(history["validation_loss"][0])
    assert str(history).splitlines()[0].split() == ["epoch", "loss", "accuracy", "validation_loss"]
    assert str(history).splitlines()[2].split() == ["2", "1", "0.75", "3"]
    assert history._repr_html_().count("<tr>") == 3
    history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_plotting_without_matplotlib_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(GraphdlError, match=r"install graphdl\[plot\]"):
        History().plot()


def layered() -> tuple[gd.Trainer, dict[str, np.ndarray[Any, Any]]]:
    """A network with a unit that is always dead."""
    gd.random.seed(0)
    x, y = gd.placeholder("x", ("N", 4)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    net.parameters()[1].value[0] = -1e6
    generator = np.random.default_rng(0)
    data = {"x": generator.normal(size=(64, 4)).astype("f"), "y": generator.integers(0, 3, 64)}
    return gd.Trainer(nn.functional.cross_entropy(net(x), y), optim.Adam(lr=1e-2)), data


def test_layers_are_measured_and_nothing_is_changed(tmp_path: Path) -> None:
    trainer, data = layered()

    class Guarded(LayerReport):
        def on_epoch_end(self, trainer: gd.Trainer, epoch: int, record: Mapping[str, float]) -> None:
            state = {name: tensor.value.copy() for name, tensor in trainer.state().items()}
            assert "random.state" in state
            super().on_epoch_end(trainer, epoch, record)
            for name, tensor in trainer.state().items():
                np.testing.assert_array_equal(tensor.value, state[name])

    report = Guarded()
    trainer.fit(data, epochs=3, batch_size=16, progress=False, callbacks=[report])
    last = report.looks[-1]
    assert len(report.looks) == 3
    assert last.rate == 1e-2
    weights = trainer.parameters
    assert last.weight["0.weight"] == pytest.approx(float(np.linalg.norm(weights[0].value)))
    assert all(0 < ratio < 1 for name, ratio in last.ratio.items() if name.endswith("weight"))
    assert list(last.dead.values()) == [pytest.approx(1 / 8)]
    assert "0.weight" in str(report)
    assert "dead" in report._repr_html_()
    assert max(map(len, str(report).splitlines())) <= 80
    report.plot(tmp_path / "layers.svg")
    assert (tmp_path / "layers.svg").stat().st_size > 1000


def test_a_report_page_is_written(tmp_path: Path) -> None:
    trainer, data = layered()
    trainer.fit(data, epochs=2, batch_size=16, progress=False, report=tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for part in ("<svg", "learning rate", "0.weight", "Samples", "int64[16]"):
        assert part in text
    assert "http" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)


def test_images_are_drawn_in_the_report() -> None:
    text = page._samples("<image>", np.arange(32, dtype="f").reshape(2, 1, 4, 4))
    assert text.count("<svg") == 2
    assert "&lt;image&gt;" in text
