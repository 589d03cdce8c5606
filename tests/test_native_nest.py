"""Rows kept between the loops over them, and results streamed past the caches: the same values as without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import graphdl as gd
from graphdl import Tensor
from graphdl.backends.native import executable
from graphdl.backends.native.target import host

from .tolerances import assert_close

FUNCTIONS: dict[str, Callable[[Tensor], list[Tensor]]] = {
    "map": lambda x: [gd.relu(x * 2.0 + 1.0) - x],
    "total": lambda x: [gd.sum(x * x), gd.sum(gd.abs(x) + 1.0)],
    "narrow": lambda x: [x > 0.0],
    "softmax": lambda x: [gd.softmax(x, -1)],
    "several": lambda x: [gd.softmax(x, -1) * 2.0, gd.exp(x - gd.max(x, -1, keepdims=True))],
    "gradient": lambda x: [gd.softmax(x, -1), *gd.grad(gd.sum(gd.softmax(x, -1) ** 2), [x])],
}
SHAPES = [(64, 512), (64, 1000), (130, 37), (3, 20_000), (1, 1), (0, 16)]


@pytest.fixture
def tiny_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code for a processor with next to no cache, where every result is too large for it."""
    monkeypatch.setattr(executable, "host", lambda: replace(host(), l3=64))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("symbolic", [False, True])
def test_streams_and_rows(name: str, symbolic: bool, tiny_cache: None) -> None:
    for shape in SHAPES:
        x = gd.placeholder("x", ("N", "C" if symbolic else shape[1]))
        outputs = FUNCTIONS[name](x)
        data = np.random.default_rng(3).standard_normal(shape, np.float32)
        expected = gd.compile(outputs, [x], backend="numpy")(data)
        found = [gd.compile(outputs, [x], threads=threads)(data) for threads in (1, 2)]
        for one, two, reference in zip(*found, expected, strict=True):
            assert np.array_equal(one, two)
            assert_close(one, reference, (1e-5, 1e-6))


@pytest.mark.skipif(host().vector_bytes != 64, reason="a line is no register here")
def test_only_large_results_are_streamed() -> None:
    x, y = gd.placeholder("x", ("N",)), gd.placeholder("y", (1000,))
    assert "!nontemporal" in gd.compile(x + 1.0, [x]).llvm_ir()
    assert "!nontemporal" not in gd.compile(y + 1.0, [y]).llvm_ir()


def test_large_sums_are_shared_among_threads() -> None:
    x, y = gd.placeholder("x", ("N", "C")), gd.placeholder("y", ("N",))
    assert [len(gd.compile(gd.sum(tensor), [tensor]).kernels) for tensor in (x, y)] == [2, 1]


def test_an_exponential_is_computed_once() -> None:
    """Its first constant, log2(e), appears once in the code for whole rows."""
    x = gd.placeholder("x", ("N", 512))
    assert gd.compile(gd.softmax(x, -1), [x]).llvm_ir().count("0x3FF7154760000000") == 1


def test_sums_over_several_axes_are_one_product_in_all_results() -> None:
    """Time and batch become one axis of the reduction, the same one for each result that a kernel stores."""
    x, y = gd.placeholder("x", (7, "N", 33)), gd.placeholder("y", (7, "N", 40))
    total = gd.einsum("tnk,tnj->kj", x, y)
    f = gd.compile([total * 2.0, total + 1.0], [x, y])
    assert sum("compute" in kernel.function for kernel in f.kernels) == 1
    a, b = (np.random.default_rng(3).standard_normal((7, 5, size), np.float32) for size in (33, 40))
    expected = np.einsum("tnk,tnj->kj", a.astype("float64"), b.astype("float64"))
    for found, wanted in zip(f(a, b), (expected * 2, expected + 1), strict=True):
        assert_close(found, wanted.astype("float32"), (1e-5, 1e-5))


def test_reductions_stand_before_the_choices_between_them() -> None:
    """Beside one another in a result, the sums are computed once, in lanes, not element by element of the result."""
    x = gd.placeholder("x", ("N", 300))
    total, largest = (gd.broadcast_to(one, ("N", 300)) for one in (x.sum(axis=1, keepdims=True), x.max(axis=1, keepdims=True)))
    padded = gd.pad(x - x.prod(axis=1, keepdims=True), [(0, 0), (0, 3)])
    for output in (gd.concatenate([x.sum(keepdims=True), x.prod(keepdims=True)], 1), padded):
        assert "call i1 @llvm.vector.reduce.or" not in gd.compile(output, [x]).llvm_ir()
    for outputs in ([padded], [gd.concatenate([total, x, largest], 1)], [gd.concatenate([x.mean(keepdims=True)] * 2, 0)]):
        for rows in (1, 5, 40):
            array = np.random.default_rng(rows).standard_normal((rows, 300), np.float32)
            for found, expected in zip(gd.compile(outputs, [x])(array), gd.compile(outputs, [x], backend="numpy")(array), strict=True):
                assert_close(found, expected, (1e-5, 1e-5))
