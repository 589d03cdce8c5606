"""Activations rounded in blocks of 32 before they meet quantised weights, against sums of integers in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl.errors import FormatError
from graphdl.gguf import GgufFile, load
from graphdl.nn.models import Generator
from graphdl.nn.packed import PackedMatrix
from graphdl.nn.rounding import rounded_blocks
from tests.gguf_files import KINDS, METADATA, model_tensors, write

Array = np.ndarray[Any, Any]
WITH_MINIMUM = ("Q4_1", "Q5_1")
ROUNDED = ("Q4_0", "Q5_0", "Q8_0", *WITH_MINIMUM)
ELEMENTS = 32


def activations(count: int, columns: int) -> Array:
    """Rows whose blocks differ in size by far; one block is zero."""
    generator = np.random.default_rng(3)
    blocks = generator.normal(size=(count, columns // ELEMENTS, ELEMENTS)) * 10.0 ** generator.integers(-3, 4, (count, columns // ELEMENTS, 1))
    blocks[:1, :1] = 0
    return blocks.reshape(count, columns).astype("f")


def codes_of(x: Array) -> tuple[Array, Array, Array]:
    """Integers (rows, blocks, 32), scales and sums (rows, blocks) as llama.cpp holds them: both as float16."""
    blocks = x.reshape(len(x), x.shape[1] // ELEMENTS, ELEMENTS)
    largest = np.abs(blocks).max(-1, initial=0)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > 0)
    codes = np.rint(blocks * inverse[..., None]).astype(int)
    step = largest / np.float32(127)
    return codes, step.astype("<f2").astype("d"), (step * codes.sum(-1).astype("f")).astype("<f2").astype("d")


def expected(kind: str, raw: Array, x: Array) -> Array:
    """Sums of products of integers, block by block, times both scales; minima times the sums of blocks."""
    width, codes = KINDS[kind].bytes, codes_of(x)
    blocks = raw.reshape(len(raw), -1, width)
    scale = blocks[..., :2].copy().view("<f2")[..., 0].astype("d")
    minimum = blocks[..., 2:4].copy().view("<f2")[..., 0].astype("d") if kind in WITH_MINIMUM else np.zeros_like(scale)
    numbers = KINDS[kind].matrix(raw).reshape(*scale.shape, ELEMENTS)
    weights = np.rint((numbers - minimum[..., None]) / scale[..., None]).astype(int)
    sums = np.einsum("mbk,rbk->mrb", codes[0], weights)
    found: Array = np.einsum("mrb,mb,rb->mr", sums, codes[1], scale) + codes[2] @ minimum.T
    return found


def matrix_of(tmp_path: Path, kind: str, rows: int, columns: int) -> tuple[PackedMatrix, Array]:
    raw = KINDS[kind].random(np.random.default_rng(rows), rows, columns)
    file = GgufFile(write(tmp_path / "one.gguf", {}, {"w": (kind, (rows, columns), raw)}))
    format = file.tensors["w"].format
    return PackedMatrix(rows, columns, format.planes(file.blocks("w")), format.unpack, format.rounding), raw


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("kind", ROUNDED)
def test_products_round_their_activations(tmp_path: Path, kind: str, backend: str) -> None:
    matrix, raw = matrix_of(tmp_path, kind, 70, 256)
    x, one = gd.placeholder("x", ("N", 256)), gd.placeholder("one", (1, 256))
    many = gd.compile(matrix(x), inputs=[x], mode="inference", backend=backend)
    single = gd.compile(matrix(one), inputs=[one], mode="inference", backend=backend)
    for f, count in ((many, 0), (many, 5), (many, 37), (single, 1)):
        given = activations(count, 256)
        size = np.abs(given) @ np.abs(KINDS[kind].matrix(raw).T) * 40 + 1e-30
        np.testing.assert_array_less(np.abs(f(given) - expected(kind, raw, given)), 1e-6 * size)


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_rounding_is_llama_cpps(backend: str) -> None:
    x = gd.placeholder("x", ("N", 96))
    f = gd.compile(list(rounded_blocks(x, ELEMENTS)), inputs=[x], backend=backend)
    given = activations(6, 96)
    codes, scales, sums = codes_of(given)
    rounded, added = f(given)
    np.testing.assert_array_equal(rounded, (codes * scales[..., None]).astype("f").reshape(given.shape))
    np.testing.assert_array_equal(added, sums.astype("f"))


def test_gradients_go_straight_through(tmp_path: Path) -> None:
    matrix, raw = matrix_of(tmp_path, "Q4_1", 6, 64)
    x, weights = gd.placeholder("x", (3, 64)), gd.placeholder("weights", (3, 6))
    gradient = gd.grad((matrix(x) * weights).sum(), x)
    f = gd.compile(gradient, inputs=[x, weights])
    by = np.random.default_rng(5).normal(size=(3, 6)).astype("f")
    np.testing.assert_allclose(f(activations(3, 64), by), by @ KINDS["Q4_1"].matrix(raw), rtol=1e-4, atol=1e-5)


def test_a_model_that_rounds(tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", METADATA, model_tensors(np.random.default_rng(2), ["Q8_0"]))
    tokens = np.array([1, 2, 3])
    scores = {kind: Generator(load(path, activations=kind).model, max_length=8).scores(tokens) for kind in ("float32", "q8")}
    difference = np.abs(scores["q8"] - scores["float32"]).max()
    assert 0 < difference < 0.1 * np.abs(scores["float32"]).max()


def test_what_cannot_be_rounded_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", METADATA, model_tensors(np.random.default_rng(2), ["Q6_K"]))
    with pytest.raises(FormatError, match="Q6_K: load it with activations='float32'"):
        load(path, activations="q8")
    with pytest.raises(ValueError, match="not one of float32, q8"):
        load(path, activations="q4")
