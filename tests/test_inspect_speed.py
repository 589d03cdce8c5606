"""Explaining and linting the training step of a GPT of 12 layers takes less than two seconds each."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import graphdl as gd
from graphdl import nn, optim


@pytest.fixture(scope="module")
def step() -> gd.Graph:
    gd.random.seed(0)
    model = nn.models.gpt(256, 128, 64, 12, 4)
    ids, following = gd.placeholder("ids", ("N", "L"), "int64"), gd.placeholder("following", ("N", "L"), "int64")
    loss = nn.functional.cross_entropy(model(ids).reshape(-1, 256), following.reshape(-1))
    return gd.Graph([loss, *gd.grad(loss, model.parameters()), *optim.AdamW(lr=1e-3).updates(loss, model.parameters()).values()])


def fastest(action: Callable[[], object]) -> float:
    """The least seconds of three runs."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return min(times)


def test_explain(step: gd.Graph) -> None:
    assert fastest(lambda: str(gd.explain(step))) < 2


def test_lint(step: gd.Graph) -> None:
    assert gd.lint(step) == []
    assert fastest(lambda: gd.lint(step)) < 2
