"""Products of 8-bit integers on the contraction engine: exactly NumPy's, for all signs, sizes, zero points and processors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl.ops.convolution import convolution

from .processors import running_as

Array = np.ndarray[Any, Any]
SIGNS = [(left, right) for left in ("int8", "uint8") for right in ("int8", "uint8")]
SIZES = [(1, 5, 3), (1, 256, 200), (40, 512, 100), (7, 33, 65), (29, 100, 31), (2, 4100, 40), (0, 5, 3), (4, 0, 5), (60, 77, 130)]
# Samples, channels, height, width, outputs, kernel, stride, padding and dilation. The last one has more steps than a panel holds.
WINDOWS = [
    (1, 24, 16, 32, 24, (3, 3), 1, 1, 1), (2, 3, 9, 11, 5, (3, 3), 1, 1, 1), (2, 24, 9, 11, 40, (1, 1), 1, 0, 1), (1, 1, 32, 40, 24, (3, 3), 1, 1, 1),
    (3, 5, 17, 19, 7, (3, 2), 2, 1, 1), (1, 40, 16, 13, 33, (3, 3), 1, 2, 2), (1, 270, 5, 6, 20, (3, 3), 1, 1, 1),
]  # fmt: skip


def extreme(dtype: str, *shape: int, seed: int = 0) -> Array:
    """Integers of the whole range, its ends most of all: what saturates anywhere shows."""
    generator, limits = np.random.default_rng(seed), np.iinfo(dtype)
    numbers = generator.integers(limits.min, limits.max + 1, shape)
    return np.where(generator.random(shape) < 0.5, numbers, np.where(generator.random(shape) < 0.5, limits.min, limits.max)).astype(dtype)


def wide(x: Any) -> Any:
    return x.astype("int32")


def runs_on_engine(f: Any) -> bool:
    return any("pack" in kernel.function for kernel in f.kernels)


def check_product(left: str, right: str, m: int, k: int, n: int, *, symbolic: bool, turned: bool) -> None:
    """(x - zero) w + bias, with a zero point for every row."""
    x = gd.placeholder("x", ("M" if symbolic else m, k), left)
    w = gd.placeholder("w", (n, k) if turned else (k, "N" if symbolic else n), right)
    zero, bias = gd.placeholder("zero", (x.shape[0], 1), left), gd.placeholder("bias", (w.shape[0] if turned else w.shape[1],))
    columns = wide(gd.transpose(w) if turned else w)
    sums = wide(x) @ columns
    outputs = [sums, (wide(x) - wide(zero)) @ columns, sums.astype("float32") * 0.5 + bias]
    a, b, z, c = extreme(left, m, k), extreme(right, k, n, seed=1), extreme(left, m, 1, seed=2), np.arange(n, dtype="float32")
    exact = a.astype("int64") @ b.astype("int64")
    expected = [exact, (a.astype("int64") - z) @ b.astype("int64"), exact.astype("float32") * np.float32(0.5) + c]
    for output, value in zip(outputs, expected, strict=True):
        f = gd.compile(output, inputs=[x, w, zero, bias])
        np.testing.assert_array_equal(f(a, np.ascontiguousarray(b.T) if turned else b, z, c), value.astype(output.dtype))
        assert runs_on_engine(f) or 0 in (m, k, n) or m * k * n < 512


def check_windows(left: str, right: str, window: tuple[Any, ...]) -> None:
    """A convolution of x with w - zero, with a zero point for every output."""
    samples, channels, height, width, outputs, kernel, stride, padding, dilation = window
    x, w = gd.placeholder("x", (samples, channels, height, width), left), gd.placeholder("w", (outputs, channels, *kernel), right)
    zero = gd.placeholder("zero", (outputs, 1, 1, 1), right)
    y = convolution(wide(x), wide(w) - wide(zero), stride, padding, dilation)
    arrays = extreme(left, *map(int, x.shape)), extreme(right, *map(int, w.shape), seed=1), extreme(right, outputs, 1, 1, 1, seed=2)
    f, oracle = (gd.compile(y, inputs=[x, w, zero], backend=backend) for backend in ("native", "numpy"))
    np.testing.assert_array_equal(f(*arrays), oracle(*arrays))
    assert runs_on_engine(f)


@pytest.mark.parametrize(("left", "right"), SIGNS)
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_products_are_exact(left: str, right: str, m: int, k: int, n: int) -> None:
    for symbolic, turned in ((False, False), (True, False), (False, True)):
        check_product(left, right, m, k, n, symbolic=symbolic, turned=turned)


@pytest.mark.parametrize(("left", "right"), SIGNS)
@pytest.mark.parametrize("window", WINDOWS)
def test_convolutions_are_exact(left: str, right: str, window: tuple[Any, ...]) -> None:
    check_windows(left, right, window)


@pytest.mark.parametrize("family", ["x86-64", "avx2", "avx512"])
def test_other_processors(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_as(family, monkeypatch):
        for left, right in SIGNS:
            check_product(left, right, 7, 33, 65, symbolic=True, turned=False)
            check_product(left, right, 5, 100, 31, symbolic=False, turned=True)
            check_windows(left, right, WINDOWS[1])
            check_windows(left, right, WINDOWS[5])


def test_bytes_are_moved_as_bytes() -> None:
    """What is widened before it is reshaped or turned is read by the product as it lies."""
    x, w, zero = gd.placeholder("x", ("T", 3, 40), "uint8"), gd.placeholder("w", (40, 64), "int8"), gd.placeholder("zero", (), "uint8")
    y = gd.transpose(wide(x) - wide(zero), (1, 0, 2)) @ wide(w)
    f = gd.compile(y, inputs=[x, w, zero])
    a, b = extreme("uint8", 5, 3, 40), extreme("int8", 40, 64, seed=1)
    np.testing.assert_array_equal(f(a, b, np.uint8(77)), (a.astype("int32") - 77).transpose(1, 0, 2) @ b.astype("int32"))
    assert runs_on_engine(f)


def test_weights_are_packed_once_for_a_scan() -> None:
    w = gd.parameter(extreme("int8", 48, 48), "w")
    xs = gd.placeholder("xs", ("T", 2, 48), "uint8")

    def step(carry: Any, x: Any) -> Any:
        following = carry + wide(x) @ wide(w)
        return following, following

    total, _ = gd.scan(step, gd.zeros((2, 48), "int32"), xs)
    f = gd.compile(total, inputs=[xs])
    a = extreme("uint8", 6, 2, 48)
    np.testing.assert_array_equal(f(a), (a.astype("int32") @ np.asarray(w.value).astype("int32")).sum(0))
    packs = [kernel for kernel in f.kernels if kernel.function.endswith("pack_b")]
    assert len(packs) == 1
    assert "T" not in str(packs[0].tasks)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_floats_become_narrow_integers(dtype: str, source: str) -> None:
    """Towards zero, saturating, and NaN as 0, in whole vectors too."""
    limits = np.iinfo(dtype)
    ends = [limits.min - 1, limits.min - 0.5, limits.min, limits.max, limits.max + 0.5, limits.max + 1, 1e30, -1e30]
    numbers = np.array([*ends, np.nan, np.inf, -np.inf, -0.0, 0.99, -0.99, 1.5, -1.5] * 9, source)
    x = gd.placeholder("x", ("N",), source)
    f, oracle = (gd.compile(x.astype(dtype), inputs=[x], backend=backend) for backend in ("native", "numpy"))
    np.testing.assert_array_equal(f(numbers), oracle(numbers))
