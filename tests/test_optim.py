"""Optimisers and schedules against PyTorch's trajectories, and what optimisers are besides their formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.compiler import compile
from graphdl.errors import GradientError, GraphdlError, StateError

Array = np.ndarray[Any, Any]
BACKENDS = ["native", "numpy"]
STEPS = 20
with np.load(Path(__file__).parent / "references" / "optimizers.npz") as _file:
    REFERENCE = {name: _file[name] for name in _file.files}

OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda: optim.SGD(lr=0.05),
    "SGD momentum": lambda: optim.SGD(lr=0.05, momentum=0.9, weight_decay=0.01),
    "SGD dampening": lambda: optim.SGD(lr=0.05, momentum=0.8, dampening=0.3),
    "SGD nesterov": lambda: optim.SGD(lr=0.05, momentum=0.9, nesterov=True),
    "Adam": lambda: optim.Adam(lr=0.03),
    "Adam decay": lambda: optim.Adam(lr=0.03, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.02),
    "Adam amsgrad": lambda: optim.Adam(lr=0.3, amsgrad=True),
    "AdamW": lambda: optim.AdamW(lr=0.03),
    "AdamW decay": lambda: optim.AdamW(lr=0.03, weight_decay=0.3, amsgrad=True),
    "Adamax": lambda: optim.Adamax(lr=0.03, weight_decay=0.01),
    "RMSprop": lambda: optim.RMSprop(lr=0.02),
    "RMSprop centered": lambda: optim.RMSprop(lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.01),
    "Adagrad": lambda: optim.Adagrad(lr=0.1, lr_decay=0.05, weight_decay=0.01, initial_accumulator_value=0.1),
    "Adadelta": lambda: optim.Adadelta(lr=1.0, rho=0.8, weight_decay=0.01),
    "clipped": lambda: optim.SGD(lr=0.3, momentum=0.9, clip_norm=0.2),
    "scheduled": lambda: optim.Adam(lr=optim.CosineAnnealingLR(0.1, 15, 0.01)),
}
SCHEDULES: dict[str, optim.Schedule] = {
    "StepLR": optim.StepLR(0.5, 6, 0.3),
    "MultiStepLR": optim.MultiStepLR(0.5, (3, 11), 0.2),
    "ExponentialLR": optim.ExponentialLR(0.5, 0.9),
    "CosineAnnealingLR": optim.CosineAnnealingLR(0.5, 25, 0.05),
    "OneCycleLR": optim.OneCycleLR(0.5, STEPS + 1),
    "LinearWarmup": optim.LinearWarmup(0.5, 8, 0.1),
}


class Problem:
    """The squared error of a tanh layer, and what one step of an optimiser makes of it."""

    def __init__(self, optimizer: optim.Optimizer, backend: str, dtype: str = "float64") -> None:
        self.layer = nn.Linear(3, 2, dtype=dtype)
        self.layer.load_state_dict({"weight": REFERENCE["weight"], "bias": REFERENCE["bias"]})
        self.arrays = [REFERENCE["x"].astype(dtype), REFERENCE["y"].astype(dtype)]
        x, y = gd.placeholder("x", ("N", 3), dtype), gd.placeholder("y", ("N", 2), dtype)
        self.loss = nn.functional.mse_loss(gd.tanh(self.layer(x)), y)
        self.optimizer = optimizer
        self.program = compile(self.loss, [x, y], updates=optimizer.updates(self.loss, self.layer.parameters()), backend=backend)

    def step(self) -> float:
        return float(self.program(*self.arrays))

    @property
    def values(self) -> Array:
        return np.concatenate([tensor.value.ravel() for tensor in self.layer.parameters()])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_trajectories_equal_pytorch(case: str, backend: str) -> None:
    problem = Problem(OPTIMIZERS[case](), backend)
    for k in range(STEPS):
        problem.step()
        np.testing.assert_allclose(problem.values, REFERENCE[case][k], rtol=1e-10, err_msg=f"step {k}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", [case for case in OPTIMIZERS if case != "Adam amsgrad"])
def test_float32_stays_near(case: str, backend: str) -> None:
    problem = Problem(OPTIMIZERS[case](), backend, "float32")
    for _ in range(STEPS):
        problem.step()
    np.testing.assert_allclose(problem.values, REFERENCE[case][-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules_equal_pytorch(case: str) -> None:
    rates = [SCHEDULES[case].at(step) for step in range(STEPS)]
    np.testing.assert_allclose(rates, REFERENCE[case], rtol=1e-12)


def test_schedules_follow_each_other() -> None:
    chain = optim.Chain((optim.LinearWarmup(0.4, 4), 0.2, optim.ExponentialLR(0.1, 0.5)), (6, 8))
    np.testing.assert_allclose([chain.at(step) for step in range(11)], [0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.2, 0.2, 0.1, 0.05, 0.025])
    with pytest.raises(ValueError, match="one milestone fewer"):
        optim.Chain((0.1, 0.2), ())


@pytest.mark.parametrize("backend", BACKENDS)
def test_lion_steps_by_the_sign(backend: str) -> None:
    problem = Problem(optim.Lion(lr=0.01), backend)
    before = problem.values
    problem.step()
    np.testing.assert_allclose(np.abs(problem.values - before), 0.01, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_clipped(backend: str) -> None:
    values = [np.array([3.0, 0.0]), np.array([[-4.0]])]
    tensors = [gd.placeholder(f"g{k}", value.shape, "float64") for k, value in enumerate(values)]
    outputs = [*optim.clip_by_norm(tensors, 2.5), *optim.clip_by_norm(tensors, 50.0), *optim.clip_by_value(tensors, 0.5), optim.global_norm(tensors)]
    found = compile(outputs, tensors, backend=backend)(*values)
    expected: list[Any] = [[1.5, 0], [[-2]], [3, 0], [[-4]], [0.5, 0], [[-0.5]], 5]
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)
    with pytest.raises(GradientError, match="no tensors"):
        optim.global_norm([])
    with pytest.raises(ValueError, match="positive"):
        optim.clip_by_norm(tensors, 0.0)
    with pytest.raises(ValueError, match="positive"):
        optim.clip_by_value(tensors, -1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_rate_can_be_set_between_steps(backend: str) -> None:
    problem = Problem(optim.SGD(lr=0.1), backend)
    assert problem.optimizer.lr == 0.1
    problem.optimizer.lr = 0.0
    before = problem.values
    problem.step()
    assert np.array_equal(problem.values, before)
    assert problem.optimizer.steps == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_schedule_tells_its_rate(backend: str) -> None:
    problem = Problem(optim.SGD(lr=optim.StepLR(0.5, 2)), backend)
    assert problem.optimizer.lr == 0.5
    problem.step()
    problem.step()
    assert problem.optimizer.lr == pytest.approx(0.05)
    with pytest.raises(GraphdlError, match="follows"):
        problem.optimizer.lr = 1.0
    assert "StepLR" in repr(problem.optimizer)


@pytest.mark.parametrize("backend", BACKENDS)
def test_state_goes_out_and_in(backend: str) -> None:
    first, second = Problem(optim.Adam(lr=0.03), backend), Problem(optim.Adam(lr=0.5), backend)
    for _ in range(3):
        first.step()
    saved = {name: array.copy() for name, array in first.optimizer.state_dict().items()}
    assert list(saved) == ["step", "lr", "weight.exp_avg", "weight.exp_avg_sq", "bias.exp_avg", "bias.exp_avg_sq"]
    second.optimizer.load_state_dict(saved)
    second.layer.load_state_dict(first.layer.state_dict())
    first.step()
    second.step()
    assert np.array_equal(first.values, second.values)
    with pytest.raises(StateError, match=r"missing: weight\.exp_avg"):
        second.optimizer.load_state_dict({"step": saved["step"], "lr": saved["lr"]})


def test_a_parameter_and_its_moments_begin_at_different_lines_of_a_page() -> None:
    w, small = gd.parameter(np.ones((64, 128), "f"), "w"), gd.parameter(np.ones(3, "f"), "small")
    optimizer = optim.Adam()
    optimizer.updates((w * w).sum() + small.sum(), [w, small])
    begins = [array.ctypes.data % 4096 for name, array in optimizer.state_dict().items() if array.size == w.value.size]
    assert len({w.value.ctypes.data % 4096, *begins}) == 3
    assert all(begin % 64 == 0 for begin in begins)


def test_state_is_named_by_the_modules_path() -> None:
    net, x = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), gd.placeholder("x", ("N", 2))
    optimizer = optim.SGD(lr=0.1, momentum=0.9)
    updates = optimizer.updates(net(x).mean(), net.parameters())
    assert "1.weight.momentum_buffer" in optimizer.state()
    assert set(map(id, updates)) == {id(t) for t in (*net.parameters(), *optimizer.state().values())} - {id(optimizer.state()["lr"])}
    assert updates.keys() == optimizer.updates(net(x).mean(), net.parameters()).keys()


def test_gradients_may_be_given() -> None:
    weight = gd.parameter(np.ones(3), "weight")
    updates = optim.SGD(lr=0.5).updates(parameters=[weight], gradients=[gd.constant(np.array([1.0, 2.0, 4.0]))])
    compile([], [], updates=updates, backend="numpy")()
    assert weight.value.tolist() == [0.5, 0.0, -1.0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda w: optim.SGD(lr=-1.0), ValueError, "must not be negative"),
        (lambda w: optim.SGD(nesterov=True), ValueError, "Nesterov"),
        (lambda w: optim.Adam(betas=(1.0, 0.9)), ValueError, "betas"),
        (lambda w: optim.SGD().updates(w.sum(), []), GraphdlError, "no parameters"),
        (lambda w: optim.SGD().updates(parameters=[w]), GraphdlError, "the loss or its gradients"),
        (lambda w: optim.SGD().updates(parameters=[w], gradients=[w, w]), GraphdlError, "as many gradients"),
        (lambda w: optim.SGD().updates(w, [w]), GradientError, "not a scalar"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(gd.parameter(np.ones(3), "w"))
