"""Norms of gradients by layer and by step, and the learning rate range test."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.errors import GradientError, GraphdlError

Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def refuse(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)


def classifier() -> tuple[nn.Module, gd.Tensor, dict[str, Array]]:
    gd.random.seed(0)
    net = nn.Sequential(nn.Linear(4, 6, dtype="float64"), nn.Tanh(), nn.Linear(6, 3, dtype="float64"))
    x, y = gd.placeholder("x", ("N", 4), "float64"), gd.placeholder("y", ("N",), "int64")
    return net, nn.functional.cross_entropy(net(x), y), {"x": normal(40, 4), "y": (normal(40, 4) @ normal(4, 3, seed=1)).argmax(axis=1)}


def test_norms_by_layer_are_those_of_the_gradients() -> None:
    net, loss, data = classifier()
    found = gd.gradient_norms(loss, net, data)
    gradients = gd.compile(gd.grad(loss, net.parameters()), gd.Graph(loss).inputs)(**data)
    assert [layer.name for layer in found.layers] == ["0", "2"]
    assert [layer.elements for layer in found.layers] == [30, 21]
    for layer, pair in zip(found.layers, (gradients[:2], gradients[2:]), strict=True):
        np.testing.assert_allclose(layer.gradient, np.sqrt(sum(np.sum(part**2) for part in pair)), rtol=1e-12)
    np.testing.assert_allclose(found.total, np.sqrt(sum(np.sum(part**2) for part in gradients)), rtol=1e-12)
    assert "█" in str(found)
    assert gd.gradient_norms(loss, x=data["x"], y=data["y"]) == found
    with pytest.raises(GradientError, match="no floating parameters"):
        gd.gradient_norms((gd.placeholder("x") * 2).sum(), x=np.float32(1))


def test_a_layer_whose_gradient_is_not_finite_is_told() -> None:
    weight = gd.parameter(np.zeros(3), "weight")
    found = gd.gradient_norms((1 / weight).sum())
    assert not np.isfinite(found.layers[0].gradient)
    assert "not finite" in str(found)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_through_time_are_those_by_the_carries(reverse: bool) -> None:
    matrix = normal(3, 3) * 0.7
    weight = gd.constant(matrix)
    xs, start = gd.placeholder("xs", ("L", 2, 3), "float64"), gd.placeholder("start", (2, 3), "float64")

    def step(held: gd.Tensor, x: gd.Tensor) -> tuple[gd.Tensor, gd.Tensor]:
        following = (held @ weight + x).tanh()
        return following, following * held

    last, ys = gd.scan(step, start, xs, reverse=reverse)
    loss = (last * last).sum() + (ys * ys).sum()
    arrays = {"xs": normal(5, 2, 3, seed=1), "start": normal(2, 3, seed=2)}
    (flow,) = gd.gradient_through_time(loss, arrays)

    held = gd.placeholder("held", (2, 3), "float64")
    state, expected = arrays["start"], []
    order = range(4, -1, -1) if reverse else range(5)
    for position, t in enumerate(order):  # the rest of the loop from each step on, as a function of what goes into it
        rest = list(order)[position:]
        carry, total = held, gd.constant(0.0, "float64")
        for later in rest:
            carry, y = step(carry, gd.constant(arrays["xs"][later]))
            total = total + (y * y).sum()
        gradient = gd.compile(gd.grad(total + (carry * carry).sum(), held), [held], backend="numpy")(state)
        expected.append(np.sqrt(np.sum(gradient**2)))
        state = np.tanh(state @ matrix + arrays["xs"][t])
    np.testing.assert_allclose(flow.norms, expected[::-1] if reverse else expected, rtol=1e-9)


def test_every_scan_has_its_own_norms() -> None:
    layer = nn.LSTM(3, 4, num_layers=2)
    x = gd.placeholder("x", ("L", "N", 3))
    loss = layer(x)[0][-1].sum()
    flows = gd.gradient_through_time(loss, x=normal(7, 2, 3).astype("f"))
    assert [len(flow.norms) for flow in flows] == [7] * 4
    assert len({tuple(flow.norms.tolist()) for flow in flows}) == 4
    assert all("carry" in flow.name and (flow.norms > 0).all() for flow in flows)
    with pytest.raises(GradientError, match=r"no gd\.scan"):
        gd.gradient_through_time(x.sum(), x=normal(7, 2, 3).astype("f"))


def test_vanishing_and_exploding_gradients_are_seen() -> None:
    xs = gd.placeholder("xs", ("L", 1), "float64")
    for factor in (0.5, 2.0):
        last, _ = gd.scan(lambda held, x, factor=factor: (held * factor + x, None), gd.zeros((1,), "float64"), xs)
        (flow,) = gd.gradient_through_time(last.sum(), xs=normal(10, 1))
        np.testing.assert_allclose(flow.norms, factor ** np.arange(10, 0, -1.0))


def test_range_test_puts_everything_back() -> None:
    _, loss, data = classifier()
    trainer = gd.Trainer(loss, optim.Adam(lr=1e-3))
    before = {name: tensor.value.copy() for name, tensor in trainer.state().items()}
    found = trainer.range_test(data, lowest=1e-4, highest=100.0, steps=60, batch_size=8)
    assert found.rates[0] == 1e-4
    assert 1e-3 < found.suggestion < 10
    assert min(found.smoothed) < found.losses[0] < max(found.smoothed)
    for name, tensor in trainer.state().items():
        np.testing.assert_array_equal(tensor.value, before[name])
    assert "steepest" in str(found)
    assert len(found.smoothed) == len(found.losses) == len(found.rates)


def test_range_test_ends_where_the_loss_explodes() -> None:
    x = gd.placeholder("x", ("N",), "float64")
    w = gd.parameter(np.array(1.0), "w")
    trainer = gd.Trainer(((w * x) ** 2).mean(), optim.SGD(lr=0.1))
    found = trainer.range_test({"x": np.ones(4)}, lowest=0.1, highest=1e6, steps=80, batch_size=4)
    assert len(found.rates) < 80
    assert float(w.value) == 1.0


def test_range_test_refuses() -> None:
    _, loss, data = classifier()
    with pytest.raises(GraphdlError, match="follows"):
        gd.Trainer(loss, optim.SGD(lr=optim.StepLR(0.1, 5, 0.1))).range_test(data)
    with pytest.raises(ValueError, match="lowest < highest"):
        gd.Trainer(loss, optim.SGD(lr=0.1)).range_test(data, lowest=1.0, highest=0.1)
    with pytest.raises(GraphdlError, match="ran out"):
        gd.Trainer(loss, optim.SGD(lr=0.1)).range_test(iter([data]))


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    net, loss, data = classifier()
    gd.gradient_norms(loss, net, data).plot(tmp_path / "norms.png")
    gd.Trainer(loss, optim.SGD(lr=0.1)).range_test(data, steps=5).plot(tmp_path / "rates.png")
    assert {path.name for path in tmp_path.iterdir()} == {"norms.png", "rates.png"}


@pytest.mark.usefixtures("without_matplotlib")
def test_pictures_need_matplotlib(tmp_path: Path) -> None:
    net, loss, data = classifier()
    with pytest.raises(GraphdlError, match="plot"):
        gd.gradient_norms(loss, net, data).plot(tmp_path / "norms.png")
    with pytest.raises(GraphdlError, match="plot"):
        gd.Trainer(loss, optim.SGD(lr=0.1)).range_test(data, steps=5).plot(tmp_path / "rates.png")
