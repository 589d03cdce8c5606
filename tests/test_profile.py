"""Profiles: every kernel timed in the running program, counted, and told where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim


def declare() -> tuple[list[gd.Tensor], nn.Module, gd.Tensor]:
    x, y = gd.placeholder("x", ("N", 64)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))
    return [x, y], net, nn.functional.cross_entropy(net(x), y)


def batch(n: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return np.random.default_rng(0).normal(size=(n, 64)).astype("f"), np.arange(n) % 10


def test_rows_are_the_kernels_with_their_work() -> None:
    inputs, net, loss = declare()
    f = gd.compile([loss, *gd.grad(loss, net.parameters())], inputs=inputs)
    profile = f.profile(*batch(256), repeat=3)
    assert [row.kernel for row in profile.rows] == list(f.kernels)
    assert all(row.seconds >= 0 for row in profile.rows)
    assert profile.flops >= 2 * 256 * (64 * 96 * 2 + 96 * 10 * 3)
    assert all(row.kernel.sources and row.kernel.operations for row in profile.rows)
    assert Path(__file__).name in str(profile)
    assert "<table" in profile._repr_html_()


def test_sum_agrees_with_the_call() -> None:
    a = gd.placeholder("a", (600, 600))
    f = gd.compile(gd.exp(a @ a) @ a, inputs=[a])
    profile = f.profile(np.full((600, 600), 1e-3, "f"), repeat=15)
    assert profile.call / 4 < profile.total < profile.call * 4  # within a few percent where nothing else runs


def test_parameters_are_restored() -> None:
    inputs, net, loss = declare()
    step = gd.compile(loss, inputs=inputs, updates=optim.SGD(lr=0.1).updates(loss, net.parameters()))
    before = [parameter.value.copy() for parameter in net.parameters()]
    step.profile(*batch(8), repeat=2)
    assert all(np.array_equal(parameter.value, value) for parameter, value in zip(net.parameters(), before, strict=True))
    step(*batch(8))
    assert not np.array_equal(net.parameters()[0].value, before[0])


def test_trace_and_json(tmp_path: Path) -> None:
    inputs, _, loss = declare()
    profile = gd.compile(loss, inputs=inputs).profile(*batch(8), repeat=1)
    profile.trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) == sum(row.tasks > 0 for row in profile.rows)
    assert json.loads(json.dumps(profile.to_dict()))["kernels"]


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    inputs, _, loss = declare()
    gd.compile(loss, inputs=inputs).profile(*batch(8), repeat=1).plot(tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").stat().st_size > 1000


def test_repeat_is_positive() -> None:
    inputs, _, loss = declare()
    with pytest.raises(gd.errors.CallError, match="repeat"):
        gd.compile(loss, inputs=inputs).profile(*batch(2), repeat=0)


def test_kernels_print_and_count() -> None:
    inputs, _, loss = declare()
    kernels = gd.compile(loss, inputs=inputs).kernels
    assert len(kernels) == len(list(kernels)) > 0
    assert "cross_entropy" in str(kernels)
