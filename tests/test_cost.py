"""Costs as algebra: they agree with the arena and with a program's own kernels, and differences between programs show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy

import graphdl as gd
from graphdl import nn
from graphdl.budget import parse_bytes


def declare() -> tuple[list[gd.Tensor], list[gd.Tensor]]:
    x, y = gd.placeholder("x", ("N", 30)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(30, 40), nn.LayerNorm(40), nn.GELU(), nn.Linear(40, 7))
    loss = nn.functional.cross_entropy(net(x), y)
    return [x, y], [loss, *gd.grad(loss, net.parameters())]


@pytest.mark.parametrize("n", [1, 5, 64, 1000])
def test_memory_agrees_with_the_arena(n: int) -> None:
    inputs, outputs = declare()
    cost = gd.cost(outputs)
    native = gd.compile(outputs, inputs=inputs).native
    sizes = native.checked.sizes_of([np.zeros((n, 30), "f"), np.zeros(n, "i8")])
    assert cost.at(N=n)["arena"] == native.checked._arena_bytes(sizes)
    assert cost.arena.subs(dict.fromkeys(cost.arena.free_symbols, n)) == cost.at(N=n)["arena"]


def test_operations_of_a_product() -> None:
    a, b = gd.placeholder("a", ("N", "K")), gd.placeholder("b", ("K", "M"))
    n, k, m = (sympy.Symbol(name, integer=True, positive=True) for name in "NKM")
    cost = gd.cost(a @ b)
    assert cost.flops == 2 * n * k * m
    assert cost.bytes == 4 * (n * k + k * m + n * m)
    assert cost.intensity == cost.flops / cost.bytes


def test_kernels_are_those_of_the_program() -> None:
    inputs, outputs = declare()
    f = gd.compile(outputs, inputs=inputs)
    cost = gd.cost(f)
    assert [kernel.function for kernel in cost.kernels] == [kernel.function for kernel in f.kernels]
    assert cost.at(N=3)["flops"] == sum(row.flops for row in f.profile(np.ones((3, 30), "f"), np.zeros(3, "i8"), repeat=1).rows)


def test_nodes_of_forward_and_backward() -> None:
    _, outputs = declare()
    nodes = gd.cost(outputs).per_node
    assert {one.is_derived for one in nodes} == {True, False}
    assert any(one.node.op.name == "matmul" and one.flops for one in nodes)


def test_largest_fits_and_one_more_does_not() -> None:
    _, outputs = declare()
    cost = gd.cost(outputs)
    n = cost.largest("N", memory="64 MiB")
    assert cost.at(N=n)["peak_memory"] <= 64 << 20 < cost.at(N=n + 64)["peak_memory"]
    assert cost.largest("N", memory=0) == 0
    with pytest.raises(gd.errors.GraphdlError, match="'M'"):
        cost.largest("M", memory="1 GB")
    with pytest.raises(gd.errors.GraphdlError, match="missing"):
        cost.at()


@pytest.mark.parametrize(("text", "size"), [("2 GiB", 2 << 30), ("500MB", 500_000_000), ("1.5k", 1500), (7, 7)])
def test_amounts_of_memory(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


def test_unreadable_amount() -> None:
    with pytest.raises(gd.errors.GraphdlError, match="much"):
        parse_bytes("much")


def compiled(passes: str) -> Any:
    inputs, outputs = declare()
    return gd.compile(outputs, inputs=inputs, passes=passes)


def test_comparison_tells_passes_and_kernels() -> None:
    first, second = compiled("default"), compiled("none")
    comparison = gd.compare(first, second, np.ones((4, 30), "f"), np.zeros(4, "i8"))
    told = {name: (a, b) for name, a, b in comparison.differences}
    assert told["pass fusion"][1] == "not run"
    assert int(told["kernels"][0]) < int(told["kernels"][1])
    assert comparison.times is not None
    assert min(comparison.times) > 0
    assert "fusion" in str(comparison)


def test_a_program_does_not_differ_from_itself() -> None:
    f = compiled("default")
    assert not gd.compare(f, f).differences


def test_gradient_flow_is_the_norm_of_the_gradient() -> None:
    x = gd.placeholder("x", ("N", 3, 4))
    loss = gd.sum(x * x) / 2
    value = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("f")
    flow = gd.gradient_flow(loss, x, axis=1, x=value)
    np.testing.assert_allclose(flow.norms, np.sqrt((value**2).sum(axis=(0, 2))), rtol=1e-6)
    assert "█" in str(flow)
