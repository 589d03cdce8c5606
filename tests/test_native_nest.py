"""Schedules of loop nests: rows kept between the loops over them, results streamed past the caches, the axis of sums, code that is shared."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import graphdl as gd
from graphdl import Tensor
from graphdl.backends.native import executable
from graphdl.backends.native.target import host

from .processors import running_as
from .tolerances import NATIVE, assert_close

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


def test_joined_arrays_are_loaded_from_the_place_chosen() -> None:
    parts = [gd.placeholder(name, (size, 40)) for name, size in (("a", 3), ("b", "N"), ("c", 2))]
    program = gd.compile(gd.concatenate(parts, 0) * 2, parts)
    given = [np.random.default_rng(k).normal(size=(size, 40)).astype("f") for k, size in enumerate((3, 4, 2))]
    np.testing.assert_array_equal(program(*given), 2 * np.concatenate(given))
    text = program.llvm_ir()
    assert re.search(r"select i1 %\w+, ptr", text)
    assert "masked.gather" not in text


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize(("shape", "axis"), [((7, 33), 1), ((7, 33), 0), ((3, 5, 32), 1), ((0, 40), 1), (("N", 16), 0), ((4, 1), 1), ((5,), 0)])
def test_pieces_of_one_shape_are_stored_by_one_kernel(shape: tuple[int | str, ...], axis: int, backend: str) -> None:
    x, y = gd.placeholder("x", shape), gd.placeholder("y", shape)
    product = x * y
    f = gd.compile([gd.concatenate([gd.tanh(product), product + 1, x], axis), product], [x, y], backend=backend)
    a, b = np.random.default_rng(0).standard_normal((2, *(size if isinstance(size, int) else 9 for size in shape)), dtype="f")
    joined, plain = f(a, b)
    assert_close(joined, np.concatenate([np.tanh(a * b), a * b + 1, a], axis))
    assert_close(plain, a * b)


def test_what_fills_a_tensor_is_one_kernel_with_what_it_is_computed_from() -> None:
    """The gradients by the gates of a cell, and the one by its state, which need the same product."""
    c, gates = gd.placeholder("c", ("N", 32)), gd.placeholder("gates", ("N", 96))
    i, f, o = gd.split(gates, 3, 1)
    loss = (gd.sigmoid(o) * gd.tanh(gd.sigmoid(f) * c + gd.sigmoid(i))).sum()
    compiled = gd.compile(gd.grad(loss, [c, gates]), [c, gates])
    assert len(compiled.kernels) == 1, compiled.kernels


def test_pieces_computed_from_the_parameter_they_replace() -> None:
    value = np.arange(128, dtype="f").reshape(2, 64)
    w = gd.parameter(value, "w")
    turned = gd.concatenate([w[:, 32:] * 2, w[:, :32] + 1], 1)
    gd.compile([], [], updates={w: turned})()
    assert_close(w.value, np.concatenate([value[:, 32:] * 2, value[:, :32] + 1], 1))


def test_sums_run_along_the_axis_on_which_less_is_gathered() -> None:
    """One output of a convolution: the weights are contiguous along the sum, the image along its columns."""
    image, weight = gd.placeholder("image", ("N", 3, 40, 50)), gd.parameter(np.random.default_rng(0).normal(size=(1, 3, 5, 5)).astype("f"))
    program = gd.compile(gd.nn.functional.conv2d(image, weight), [image], mode="inference")
    assert "masked.gather" not in program.llvm_ir()


def test_kernels_of_all_stages_of_a_pyramid_are_one() -> None:
    def functions(stages: int) -> int:
        x = gd.placeholder("x", (1, 8, "H", "W"))
        y = x
        for _ in range(stages):
            y = gd.nn.functional.max_pool2d(gd.relu(y) + 1, 3, 2, 1)
        program = gd.compile(y, [x], mode="inference")
        given = np.random.default_rng(1).normal(size=(1, 8, 61, 90)).astype("f")
        np.testing.assert_allclose(program(given), gd.compile(y, [x], mode="inference", backend="numpy")(given), rtol=1e-6)
        return len(re.findall(r"^define ", program.llvm_ir(), re.MULTILINE))

    assert functions(5) == functions(3)


# shape, order: what is next to an element in the result is far from it in the operand, for as many elements as the last axes have
RUNS = [
    ((3, 3, 5, 64), (2, 3, 0, 1)),
    ((3, 3, 6, 17), (2, 3, 0, 1)),
    ((9, 3, 40), (2, 1, 0)),
    ((3, 4, 5, 19), (1, 3, 0, 2)),
    ((25, 70), (1, 0)),
    ((127, 33), (1, 0)),
]


@pytest.mark.parametrize("family", ["x86-64", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64"])
def test_short_runs_whose_reads_lie_apart(dtype: str, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the gradient of a kernel lies tap by tap: beside elements of the result's order and such as every run has one of."""
    for shape, order in RUNS:
        turned = tuple(shape[axis] for axis in order)
        x, beside, scale = (
            gd.placeholder("x", shape, dtype),
            gd.placeholder("beside", turned, dtype),
            gd.placeholder("scale", (turned[0], *[1] * len(turned[1:])), dtype),
        )
        y = gd.transpose(x, order)
        given = [np.random.default_rng(k).integers(-9, 9, one.shape).astype(dtype) for k, one in enumerate((x, beside, scale))]
        with running_as(family, monkeypatch):
            program = gd.compile([y - beside, y * beside + scale], [x, beside, scale])
            for found, expected in zip(program(*given), (given[0].transpose(order) - given[1], given[0].transpose(order) * given[1] + given[2]), strict=True):
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("family", ["x86-64", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_known", [False, True], ids=["symbolic", "known"])
def test_short_runs_of_what_is_computed_across_them(is_known: bool, dtype: str, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each element of small windows' results spread over the window, beside elements of the larger array: gradients of maxima, neighbours repeated."""
    for kernel, sides in [((2, 2), (14, 14)), ((2, 2), (38, 70)), ((1, 2), (5, 6)), ((2, 3), (8, 51)), ((4, 4), (12, 20)), ((3, 2), (9, 300))]:
        x = gd.placeholder("x", (3 if is_known else "N", 5, *sides), dtype)
        pooled = gd.nn.functional.max_pool2d(x, kernel)
        repeated = gd.repeat(gd.repeat(pooled, kernel[0], 2), kernel[1], 3)
        outputs = [*gd.grad((gd.relu(pooled) ** 2).sum(), [x]), repeated * x]
        given = np.random.default_rng(0).standard_normal((3, 5, *sides)).astype(dtype)
        expected = gd.compile(outputs, [x], backend="numpy")(given)
        with running_as(family, monkeypatch):
            for found, wanted in zip(gd.compile(outputs, [x])(given), expected, strict=True):
                assert_close(found, wanted)


@pytest.mark.parametrize("shape", [(34, 48, 3, 3), (400, 19, 9), (64, 100, 5), (18, 40, 4, 8), (40, 36, 1, 7)], ids=str)
def test_turned_runs_are_read_in_blocks(shape: tuple[int, ...]) -> None:
    """As the kernel of a convolution for the gradient by its data, backwards, and beside an array in the result's order."""
    x, beside = gd.placeholder("x", shape), gd.placeholder("beside", (shape[1], shape[0], *shape[2:]))
    backwards = (slice(None), slice(None), *[slice(None, None, -1)] * (len(shape) - 2))
    y = gd.swapaxes(x[backwards], 0, 1)
    given = [np.random.default_rng(k).standard_normal(one.shape, np.float32) for k, one in enumerate((x, beside))]
    turned = given[0][backwards].swapaxes(0, 1)
    for found, expected in zip(gd.compile([y, y - beside], [x, beside])(*given), (turned, turned - given[1]), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("family", ["x86-64", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_that_share_elements_are_reduced_together(dtype: str, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several rows with one array, few or many of them, short and long, with NaN among them."""
    for rows, length, channels in [(3, 40, 9), (5, 7, 24), (13, 100, 8), (27, 33, 12), (60, 33, 12), (2, 2, 10)]:
        x, a = gd.placeholder("x", (channels, rows, length), dtype), gd.placeholder("a", (channels, length), dtype)
        z = x * a[:, None]
        given = [np.random.default_rng(k).uniform(0.5, 1.5, one.shape).astype(dtype) for k, one in enumerate((x, a))]
        given[0][3, 1, 1] = np.nan
        with np.errstate(invalid="ignore"), running_as(family, monkeypatch):
            for output in (gd.max(z, -1), gd.sum(z, -1) * 2.0, gd.prod(z, -1), gd.sin(gd.min(z, -1))):
                assert_close(gd.compile(output, [x, a])(*given), gd.compile(output, [x, a], backend="numpy")(*given), NATIVE[dtype])


def test_lanes_are_as_wide_as_what_differs_from_place_to_place() -> None:
    """A double that is the same everywhere, as a rate by the step, leaves lanes of singles as they are."""

    def lanes(rate: Tensor) -> int:
        program = gd.compile(x / (x + gd.sqrt(rate).astype("float32")), [x, rate])
        given = np.random.default_rng(0).random(1000, np.float32)
        assert_close(program(given, np.asarray(2.0, rate.dtype))[()], given / (given + np.float32(np.sqrt(2.0))), (1e-6, 1e-6))
        return max(map(int, re.findall(r"fdiv <(\d+) x float>", program.llvm_ir())))

    x = gd.placeholder("x", (1000,))
    assert lanes(gd.placeholder("rate", (), "float64")) == lanes(gd.placeholder("rate", (), "float32"))


def test_joined_arrays_that_are_computed_or_scattered_have_a_kernel_for_each_part() -> None:
    x, y = gd.placeholder("x", ("N", 3, 32, 48)), gd.placeholder("y", ("N", 5, "H", "W"))
    enlarged = [gd.repeat(gd.repeat(part, times, 2), times, 3) for part, times in ((gd.exp(x[:, :, ::4, ::4]), 4), (x[:, :, ::2, 1::2], 2))]
    pictures = gd.concatenate([*enlarged, x], 1)
    focused = gd.concatenate([y[:, :, ::2, ::2], y[:, :, 1::2, ::2], gd.sin(y[:, :2, ::2, 1::2])], 1)
    plain = gd.concatenate([y, y * 2.0], 1)
    drawn = np.random.default_rng(0)
    arrays = [drawn.standard_normal(shape).astype("f") for shape in ((2, 3, 32, 48), (2, 5, 30, 42))]
    outputs = [pictures, enlarged[0] + enlarged[1] * x, focused, gd.relu(focused)[:, ::-1], plain]
    expected = gd.compile(outputs, [x, y], backend="numpy")(*arrays)
    for check in (None, "nonfinite"):
        f = gd.compile(outputs, [x, y], check=check)
        for one, wanted in zip(f(*arrays), expected, strict=True):
            assert_close(one, wanted, NATIVE["float32"])
    counted = [len(gd.compile(output, [x, y]).kernels) for output in (pictures, focused, plain)]
    assert counted == [3, 3, 1], counted
