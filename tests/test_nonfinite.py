"""Checked programs raise at the first NaN or infinity, say all about it, and leave the parameters alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim

Array = np.ndarray[Any, Any]


def declare() -> tuple[list[gd.Tensor], nn.Module, gd.Tensor]:
    x, y = gd.placeholder("x", ("N", 6)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    return [x, y], net, nn.functional.cross_entropy(net(x), y)


def batch(n: int = 4) -> tuple[Array, Array]:
    return np.random.default_rng(0).normal(size=(n, 6)).astype("f"), np.arange(n) % 3


def test_finite_programs_give_the_same_bits() -> None:
    inputs, net, loss = declare()
    outputs = [loss, *gd.grad(loss, net.parameters())]
    plain, checked = (gd.compile(outputs, inputs=inputs, check=check)(*batch()) for check in (None, "nonfinite"))
    assert all(np.array_equal(a, b) for a, b in zip(plain, checked, strict=True))


def test_updates_happen_as_in_a_plain_program() -> None:
    ends = []
    for check in (None, "nonfinite"):
        gd.random.seed(0)
        inputs, net, loss = declare()
        step = gd.compile(loss, inputs=inputs, updates=optim.Adam(lr=0.1).updates(loss, net.parameters()), check=check)
        for _ in range(3):
            step(*batch())
        ends.append([parameter.value.copy() for parameter in net.parameters()])
    assert all(np.array_equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize("size", [5, 16, 100_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_place_is_looked_at(size: int, dtype: str) -> None:
    x = gd.placeholder("x", ("N",), dtype)
    f = gd.compile(gd.log(x) + 1, inputs=[x], check="nonfinite")
    for place in (0, size // 2, size - 1):
        value = np.ones(size, dtype)
        value[place] = -1
        with pytest.raises(gd.errors.NonFiniteError) as caught:
            f(value)
        assert caught.value.index == (place,)


def test_the_first_bad_node_inside_a_kernel_is_named() -> None:
    x = gd.placeholder("x", ("N", 3))
    bad = gd.log(x)
    f = gd.compile(gd.sum(gd.exp(bad * 2 + 1)), inputs=[x], check="nonfinite")
    value = np.ones((4, 3), "f")
    value[2, 1] = -1
    with pytest.raises(gd.errors.NonFiniteError, match=r"log .*nan at \[2, 1\]") as caught:
        f(value)
    source = bad.node.provenance.source
    assert f"{Path(__file__)}:{source.line if source else ''}" in str(caught.value)
    assert "x: -1.0 there" in str(caught.value)
    assert "formula" in str(caught.value)


def test_a_gradient_names_its_forward_node() -> None:
    x = gd.placeholder("x", ("N", 3))
    root = gd.sqrt(gd.sum(x * x, axis=1))
    f = gd.compile(gd.grad(gd.sum(root), x), inputs=[x], check="nonfinite")
    value = np.ones((2, 3), "f")
    value[1] = 0
    with pytest.raises(gd.errors.NonFiniteError, match=r"forward node: sqrt"):
        f(value)


def test_parameters_keep_their_values() -> None:
    inputs, net, loss = declare()
    step = gd.compile(loss, inputs=inputs, updates=optim.Adam(lr=0.1).updates(loss, net.parameters()), check="nonfinite")
    images, labels = batch()
    images[1, 2] = np.inf
    before = [parameter.value.copy() for parameter in net.parameters()]
    with pytest.raises(gd.errors.NonFiniteError):
        step(images, labels)
    assert all(np.array_equal(parameter.value, value) for parameter, value in zip(net.parameters(), before, strict=True))
    step(*batch())


def test_a_bad_input_is_told_as_such() -> None:
    x = gd.placeholder("x", ("N",))
    f = gd.compile(x * 2, inputs=[x], check="nonfinite")
    with pytest.raises(gd.errors.NonFiniteError, match=r"'x' holds nan at \[1\]"):
        f(np.array([1, np.nan], "f"))


def test_infinity_as_a_mask_is_no_mistake() -> None:
    x = gd.placeholder("x", ("N", 3))
    masked = gd.where(x > 0, x, -np.inf)
    f = gd.compile([masked, gd.softmax(masked, 1)], inputs=[x], check="nonfinite")
    found, _ = f(np.array([[1, -1, 2]], "f"))
    assert found[0, 1] == -np.inf


def test_unknown_check() -> None:
    x = gd.placeholder("x", ("N",))
    with pytest.raises(gd.errors.CompileError, match="nonfinite"):
        gd.compile(x * 2, check="bounds")


def test_the_first_bad_node_inside_a_loop_is_named() -> None:
    x = gd.placeholder("x", ("T", 4))
    last, ys = gd.scan(lambda held, u: (gd.sqrt(held - u), held * u), gd.full((4,), 100.0), x)
    f = gd.compile([last, ys], inputs=[x], check="nonfinite")
    values = np.ones((6, 4), "f")
    values[3, 1] = 50
    with pytest.raises(gd.errors.NonFiniteError, match=r"sqrt \(test_nonfinite.py:\d+\) computed nan at \[1\](.|\n)*in step 3 of scan") as caught:
        f(values)
    assert caught.value.index == (1,)


def test_the_first_bad_node_inside_a_branch_is_named() -> None:
    x, flag = gd.placeholder("x", (3,)), gd.placeholder("flag", (), "bool")
    f = gd.compile(gd.cond(flag, lambda u: gd.log(u) + 1.0, lambda u: u, x), inputs=[x, flag], check="nonfinite")
    values = np.array([1, -2, 3], "f")
    f(values, np.array(False))
    with pytest.raises(gd.errors.NonFiniteError, match=r"^log \((.|\n)*: -2.0 there"):
        f(values, np.array(True))
