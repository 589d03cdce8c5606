"""What a user may do wrong with a compiled program, on both backends: a graphdl error that names the input and the line, or the right answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import CallError, CompileError, GradientError, GraphdlError, IndexOutOfRangeError, ShapeError

Array = np.ndarray[Any, Any]
HERE = r"test_native_call_errors.py:\d+"


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHDL_CACHE_DIR", "off")


@pytest.fixture(params=["native", "numpy"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def floats(*shape: int) -> Array:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "named", "error", "message"),
    [
        ([floats(2, 3)], {}, CallError, rf"missing inputs: 'y': float32\[N\] \({HERE}\)"),
        ([floats(2, 3), floats(2), floats(1)], {}, CallError, "takes 2 inputs"),
        ([floats(2, 3), floats(2)], {"y": floats(2)}, CallError, "'y' was given twice"),
        ([floats(2, 3), floats(2)], {"z": floats(2)}, CallError, "no input 'z'"),
        ([floats(2, 3).astype("float64"), floats(2)], {}, CallError, rf"'x': float32\[N, 3\] \({HERE}\) needs dtype float32, got float64"),
        ([floats(2, 3).astype("int64"), floats(2)], {}, CallError, "got int64"),
        ([floats(2, 3), floats(2) > 0], {}, CallError, "got bool"),
        ([floats(2, 3), np.array(["a", "b"])], {}, CallError, "'y'"),
        ([floats(2, 3), [[1.0], [2.0, 3.0]]], {}, CallError, "cannot be read as an array"),
        ([floats(2, 3), None], {}, CallError, "'y'"),
        ([floats(6), floats(2)], {}, ShapeError, rf"'x': .*{HERE}.* has 2 axes, got an array of shape \(6,\)"),
        ([floats(2, 4), floats(2)], {}, ShapeError, rf"'x': .*{HERE}.* has size 3 on axis 1, got 4"),
        ([floats(2, 3), floats(4)], {}, ShapeError, rf"N is 2 on axis 0 of 'x', but 4 on axis 0 of 'y': .*{HERE}"),
    ],
)
def test_unfit_arguments(backend: str, arrays: Sequence[Any], named: dict[str, Any], error: type[GraphdlError], message: str) -> None:
    x, y = gd.placeholder("x", ("N", 3)), gd.placeholder("y", ("N",))
    program = gd.compile(x.sum(axis=1) * y, [x, y], backend=backend)
    with pytest.raises(error, match=message):
        program(*arrays, **named)


def test_arrays_of_any_layout(backend: str) -> None:
    x = gd.placeholder("x", ("N", 3))
    program = gd.compile(x * 2, [x], backend=backend)
    wide = floats(8, 6)
    frozen = floats(4, 3)
    frozen.flags.writeable = False
    for array in (wide[::2, ::2], wide[::-1, :3], np.asfortranarray(floats(4, 3)), frozen, floats(4, 3).astype(">f4"), floats(3, 4).T):
        np.testing.assert_array_equal(program(array), array * np.float32(2))
    np.testing.assert_array_equal(program(x=[[1, 2, 3]]), [[2, 4, 6]])


def test_inputs_are_not_changed(backend: str) -> None:
    x = gd.placeholder("x", (3,))
    array = floats(3)
    kept = array.copy()
    program = gd.compile([x, x + 1, x.reshape(3, 1)], [x], backend=backend)
    first, *_ = program(array)
    first[:] = 7
    np.testing.assert_array_equal(array, kept)


def test_broken_size_equality(backend: str) -> None:
    x, y = gd.placeholder("x", ("N", 2)), gd.placeholder("y", ("M", 2))
    program = gd.compile(x + y, [x, y], backend=backend)
    np.testing.assert_array_equal(program(floats(3, 2), floats(3, 2)), 2 * floats(3, 2))
    with pytest.raises(ShapeError, match=rf"\({HERE}\): axis 0: M is 4, but N is 3"):
        program(floats(3, 2), floats(4, 2))


def test_sizes_that_are_expressions(backend: str) -> None:
    x = gd.placeholder("x", ("N",))
    y = gd.placeholder("y", (x.shape[0] * 2,))
    program = gd.compile(gd.concatenate([x, x]) + y, [x, y], backend=backend)
    np.testing.assert_array_equal(program(floats(2), floats(4)), np.tile(floats(2), 2) + floats(4))
    with pytest.raises(ShapeError, match=rf"'y': .*{HERE}.* needs shape \(4,\) when N = 2, got \(5,\)"):
        program(floats(2), floats(5))


def test_wrong_compilations() -> None:
    x, y = gd.placeholder("x", (2,)), gd.placeholder("y", (2,))
    twin = gd.placeholder("x", (2,))
    p = gd.parameter(floats(2), "p")
    with pytest.raises(CompileError, match="placeholder 'y'"):
        gd.compile(x + y, [x])
    with pytest.raises(CompileError, match="two inputs are named 'x'"):
        gd.compile(x + twin, [x, twin])
    with pytest.raises(CompileError, match="no placeholder"):
        gd.compile(x * 2, [x * 2])
    with pytest.raises(CompileError, match="size M"):
        gd.compile(gd.ones(("M",)) * gd.ones(("M",)), [])
    with pytest.raises(CompileError, match="no parameter"):
        gd.compile(x, [x], updates={x: x})
    with pytest.raises(CompileError, match="does not fit"):
        gd.compile(x, [x], updates={p: x.sum()})


def test_wrong_gradients() -> None:
    x, y, n = gd.placeholder("x", (2,)), gd.placeholder("y", (2,)), gd.placeholder("n", (2,), "int64")
    with pytest.raises(GradientError, match="not a scalar"):
        gd.grad(x * 2, [x])
    with pytest.raises(GradientError, match="int64"):
        gd.grad(n.sum(), [n])
    (unconnected,) = gd.grad(x.sum(), [y])
    np.testing.assert_array_equal(gd.compile(unconnected, [])(), [0, 0])


# -- values ------------------------------------------------------------------------------------------------------------


def test_nan_in_integer_casts(backend: str) -> None:
    x = gd.placeholder("x", (5,))
    program = gd.compile([x.astype("int32"), x.astype("uint8"), x.astype("bool")], [x], backend=backend)
    signed, unsigned, truth = program(np.array([np.nan, np.inf, -np.inf, -2.7, 300], "float32"))
    assert signed.tolist() == [0, 2**31 - 1, -(2**31), -2, 300]
    assert unsigned.tolist() == [0, 255, 0, 0, 255]
    assert truth.tolist() == [True] * 5


@pytest.mark.parametrize("wrong", [5, -6, 2**40, -(2**62)])
def test_indices_out_of_range(backend: str, wrong: int) -> None:
    x, i, u = gd.placeholder("x", (5, 3)), gd.placeholder("i", ("K",), "int64"), gd.placeholder("u", ("K", 3))
    good = np.array([0, -5, 4])
    for result in (gd.take(x, i, 0), gd.take(x, i), gd.scatter_add(x, i, u), gd.take_along_axis(x, gd.reshape(i, (-1, 1)), 0)):
        inputs = [x, i, u]
        program = gd.compile(result, inputs, backend=backend)
        program(floats(5, 3), good, floats(3, 3))
        limit = 15 if result.shape == i.shape else 5
        with pytest.raises(IndexOutOfRangeError, match=rf"{result.node.op.name} \({HERE}\)"):
            program(floats(5, 3), np.array([0, wrong if abs(wrong) > 10 else limit, 1]), floats(3, 3))
        program(floats(5, 3), good, floats(3, 3))


def test_class_targets_out_of_range(backend: str) -> None:
    x, y = gd.placeholder("x", ("N", 4)), gd.placeholder("y", ("N",), "int64")
    loss = nn.functional.cross_entropy(x, y)
    program = gd.compile([loss, *gd.grad(loss, [x])], [x, y], backend=backend)
    program(floats(3, 4), np.array([0, 3, 1]))
    for wrong in (4, -1):
        with pytest.raises(IndexOutOfRangeError, match=HERE):
            program(floats(3, 4), np.array([0, wrong, 1]))


def test_embedding_out_of_range(backend: str) -> None:
    table = nn.Embedding(6, 4)
    i = gd.placeholder("i", ("N",), "int64")
    loss = table(i).sum()
    (gradient,) = gd.grad(loss, table.parameters())
    program = gd.compile(loss, [i], updates={table.weight: table.weight - gradient}, backend=backend)
    program(np.array([5, 0]))
    before = table.weight.value.copy()
    with pytest.raises(IndexOutOfRangeError):
        program(np.array([5, 6]))
    np.testing.assert_array_equal(table.weight.value, before)


def test_a_failing_call_changes_no_parameter(backend: str) -> None:
    """Even one whose new value does not depend on the index, and is computed before it is looked at."""
    p, q = gd.parameter(floats(4), "p"), gd.parameter(floats(4), "q")
    i = gd.placeholder("i", (2,), "int64")
    program = gd.compile((p * 2).sum(), [i], updates={p: p * 2, q: q + gd.take(p, i, 0).sum()}, backend=backend)
    with pytest.raises(IndexOutOfRangeError):
        program(np.array([0, 4]))
    np.testing.assert_array_equal([p.value, q.value], [floats(4), floats(4)])
    program(np.array([0, 3]))
    np.testing.assert_allclose([p.value, q.value], [2 * floats(4), floats(4) + floats(4)[0] + floats(4)[3]], 1e-6)


def test_empty_arrays(backend: str) -> None:
    x, w = gd.placeholder("x", ("N", 3)), gd.parameter(floats(3, 2), "w")
    y = gd.placeholder("y", ("N",), "int64")
    logits = gd.tanh(x @ w)
    loss = nn.functional.cross_entropy(logits, y, reduction="sum")
    program = gd.compile([logits, loss, logits.sum(axis=0), gd.softmax(logits), *gd.grad(loss, [w])], [x, y], backend=backend)
    results = program(np.zeros((0, 3), "float32"), np.zeros(0, "int64"))
    assert [result.shape for result in results] == [(0, 2), (), (2,), (0, 2), (3, 2)]
    for result in results:
        np.testing.assert_array_equal(result, np.zeros_like(result))


@pytest.mark.parametrize("shape", [(5, 0), (0, 5), ("N", 0), ("N", "M")])
def test_sums_of_empty_rows(backend: str, shape: tuple[Any, ...]) -> None:
    """What belongs to a row is there although the row has no elements."""
    x = gd.placeholder("x", shape)
    total = x.sum(axis=1, keepdims=True)
    array = np.zeros([5 if size == "N" else 0 if size == "M" else size for size in shape], "float32")
    results = gd.compile([total + 1, x - total, x.prod(axis=1), (x - total).sum(axis=0)], [x], backend=backend)(array)
    rows, columns = array.shape
    expected = [np.ones((rows, 1)), array, np.ones(rows), np.zeros(columns)]
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


# -- results and state -------------------------------------------------------------------------------------------------


def test_results_that_are_no_computation(backend: str) -> None:
    x, p = gd.placeholder("x", (4,)), gd.parameter(floats(4), "p")
    c = gd.constant(np.arange(4.0, dtype="float32"))
    y = x * 2
    view = y.reshape(2, 2)
    outputs = [x, x, p, c, y, y, view, view.reshape(4), x.reshape(2, 2), p.reshape(4, 1), c.reshape(2, 2)]
    program = gd.compile(outputs, [x], backend=backend)
    results = program(floats(4))
    expected = [floats(4)] * 3 + [np.arange(4.0)] + [2 * floats(4)] * 2 + [2 * floats(4).reshape(2, 2), 2 * floats(4)]
    expected += [floats(4).reshape(2, 2), floats(4).reshape(4, 1), np.arange(4.0).reshape(2, 2)]
    for k, (result, wanted) in enumerate(zip(results, expected, strict=True)):
        np.testing.assert_array_equal(result, wanted)
        result[...] = k  # no two results share memory, with each other or with the state
    np.testing.assert_array_equal(program(floats(4))[2], floats(4))


def test_no_outputs_and_no_inputs(backend: str) -> None:
    p = gd.parameter(floats(3), "p")
    step = gd.compile([], [], updates={p: p + 1}, backend=backend)
    assert step() == ()
    np.testing.assert_array_equal(p.value, floats(3) + 1)


def updated(backend: str, count: int, updates: Any) -> list[Array]:
    """Parameters 0, 1, ... filled with 1, 2, ... after one call with `updates(*parameters)`, the results first."""
    parameters = [gd.parameter(np.full((2, 2), k + 1.0, "float32") + floats(2, 2), f"p{k}") for k in range(count)]
    outputs, changes = updates(*parameters)
    results = gd.compile(outputs, [], updates=changes, backend=backend)()
    return [*results, *(parameter.value.copy() for parameter in parameters)]


UPDATES: dict[str, tuple[int, Any]] = {
    "swap": (2, lambda p, q: ([], {p: q, q: p})),
    "rotate": (3, lambda p, q, r: ([], {p: q, q: r, r: p})),
    "same value": (2, lambda p, q: ([], {p: p + q, q: p + q})),
    "of each other": (2, lambda p, q: ([], {p: p * q, q: p - q})),
    "read after": (2, lambda p, q: ([p * 3], {p: p + 1, q: (p @ q).sum() + q})),
    "the result too": (1, lambda p: ([p + 1, p], {p: p + 1})),
    "transposed": (1, lambda p: ([], {p: p.T})),
    "reversed": (1, lambda p: ([], {p: p[::-1]})),
    "product": (1, lambda p: ([], {p: p @ p})),
    "normalised": (1, lambda p: ([], {p: p / p.sum(axis=1, keepdims=True)})),
    "centred": (1, lambda p: ([], {p: p - p.mean()})),
    "view of another": (2, lambda p, q: ([], {p: q.reshape(4).reshape(2, 2), q: q + 1})),
    "constant": (1, lambda p: ([p], {p: gd.zeros((2, 2))})),
    "itself": (1, lambda p: ([p], {p: p})),
    "running sums": (2, lambda p, q: ([q], {p: gd.cumsum(p, 0), q: gd.scatter_add(q, np.array([0, 0]), p)})),
    "moments": (3, lambda p, m, v: ([], {m: m * 0.9 + p * 0.1, v: v * 0.9 + p * p * 0.1, p: p - (m * 0.9 + p * 0.1) / gd.sqrt(v * 0.9 + p * p * 0.1)})),
}


@pytest.mark.parametrize("passes", ["default", "none"])
@pytest.mark.parametrize("name", list(UPDATES))
def test_updates_happen_at_once(name: str, passes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count, updates = UPDATES[name]
    plain = gd.compile
    monkeypatch.setattr(gd, "compile", lambda *args, **options: plain(*args, passes=passes, **options))
    for native, numpy in zip(updated("native", count, updates), updated("numpy", count, updates), strict=True):
        np.testing.assert_allclose(native, numpy, 1e-5, 1e-6)


# -- depth -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", ["default", "none"])
def test_ten_thousand_layers(passes: str) -> None:
    x = gd.placeholder("x", ("N", 4))
    h = x
    for _ in range(10_000):
        h = gd.tanh(h * 1.25)
    started = time.perf_counter()
    program = gd.compile(h, [x], passes=passes)
    assert time.perf_counter() - started < 120
    found = program(floats(3, 4))
    expected = floats(3, 4).astype("float64")
    for _ in range(10_000):
        expected = np.tanh(expected * 1.25)
    np.testing.assert_allclose(found, expected, 1e-4)


def test_three_thousand_products() -> None:
    x, w = gd.placeholder("x", ("N", 4)), gd.constant(np.roll(np.eye(4, dtype="float32"), 1, 0))
    h = x
    for _ in range(3_000):
        h = gd.maximum(h @ w, -0.5)
    program = gd.compile(h, [x])
    np.testing.assert_array_equal(program(floats(3, 4)), np.maximum(floats(3, 4), -0.5))
