"""GGUF files: reading, block formats, tokenizer, and whole models on small files that the tests write."""

from __future__ import annotations

import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl.errors import FormatError, GraphdlError, IndexOutOfRangeError
from graphdl.gguf import GgufFile, Tokenizer, load
from graphdl.nn.packed import PackedMatrix
from tests.damage import damaged
from tests.gguf_files import FEATURES, GROUPS, HEADS, KINDS, LAYERS, METADATA, PIECES, model_tensors, write

from .processors import running_as

Array = np.ndarray[Any, Any]
LONGEST = 10.0  # seconds for one file
MEMORY = 64 << 20  # bytes for one file of less than a megabyte


def packed(tmp_path: Path, kind: str, rows: int, columns: int) -> tuple[PackedMatrix, Array]:
    """A matrix from a file of one tensor, and its numbers."""
    raw = KINDS[kind].random(np.random.default_rng(rows + columns), rows, columns)
    file = GgufFile(write(tmp_path / "one.gguf", {}, {"w": (kind, (rows, columns), raw)}))
    entry = file.tensors["w"]
    assert (entry.format.name, entry.shape) == (kind, (rows, columns))
    return PackedMatrix(rows, columns, entry.format.planes(file.blocks("w")), entry.format.unpack), KINDS[kind].matrix(raw)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize(("rows", "columns"), [(64, 256), (70, 512), (3, 256)])
@pytest.mark.parametrize("kind", KINDS)
def test_products_with_blocks(tmp_path: Path, kind: str, rows: int, columns: int, backend: str) -> None:
    matrix, numbers = packed(tmp_path, kind, rows, columns)
    generator = np.random.default_rng(1)
    x, one = gd.placeholder("x", ("N", columns)), gd.placeholder("one", (1, columns))
    many = gd.compile(matrix(x), inputs=[x], mode="inference", backend=backend)
    single = gd.compile(matrix(one), inputs=[one], mode="inference", backend=backend)
    for f, count in ((many, 1), (many, 5), (many, 37), (many, 0), (single, 1)):
        given = generator.normal(size=(count, columns)).astype("f")
        scale = np.abs(given) @ np.abs(numbers.T) + 1e-30 if count else 1
        assert np.all(np.abs(f(given) - given.astype("d") @ numbers.T) <= 2e-6 * scale)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_blocks(tmp_path: Path, kind: str, backend: str) -> None:
    matrix, numbers = packed(tmp_path, kind, 70, 256)
    at = gd.placeholder("at", (2, "N"), "int64")
    f = gd.compile(matrix.take(at), inputs=[at], mode="inference", backend=backend)
    chosen = np.array([[0, 69, 64], [63, 1, 5]])
    np.testing.assert_allclose(f(chosen), numbers[chosen], rtol=2e-6, atol=1e-7)
    with pytest.raises(IndexOutOfRangeError):
        f(np.array([[70], [0]]))


def test_products_unpack_as_they_read(tmp_path: Path) -> None:
    matrix, _ = packed(tmp_path, "Q4_1", 128, 256)
    for rows, kernels in ((1, 1), (64, 2)):
        x = gd.placeholder("x", (rows, 256))
        f = gd.compile(matrix(x), inputs=[x], mode="inference")
        assert len(f.kernels) == kernels, f.kernels
    assert sum(plane.value.nbytes for plane in matrix.planes.values()) == 128 * 256 // 32 * 20


@pytest.mark.parametrize("family", ["x86-64", "avx2", "avx512"])
def test_other_processors(tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_as(family, monkeypatch):
        for kind in ("Q4_1", "Q5_0", "Q6_K", "F16"):
            test_products_with_blocks(tmp_path, kind, 70, 256, "native")


# -- whole models ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "small.gguf", METADATA, model_tensors(np.random.default_rng(2), ["Q4_1", "Q8_0", "F32"]))


def reference(path: Path, tokens: list[int]) -> Array:
    """The scores of a small model by Llama's formulas in float64, with pairs of neighbours turned."""
    file, w = GgufFile(path), {}
    for name, entry in file.tensors.items():
        raw = file.blocks(name).view("uint8").reshape(-1, entry.size // int(np.prod(entry.shape[:-1])))
        w[name.removesuffix(".weight")] = KINDS[entry.format.name].matrix(raw).reshape(entry.shape)
    length, size = len(tokens), FEATURES // HEADS

    def norm(x: Array, weight: Array) -> Array:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight

    def heads(x: Array, count: int, *, turned: bool) -> Array:
        x = x.reshape(length, count, size)
        pairs = x[..., 0::2] + 1j * x[..., 1::2]
        angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
        moved = pairs * np.exp(1j * angles)[:, None]
        return np.stack([moved.real, moved.imag], -1).reshape(x.shape) if turned else x

    x = w["token_embd"][tokens]
    for n in range(LAYERS):
        h = norm(x, w[f"blk.{n}.attn_norm"])
        q, k, v = (heads(h @ w[f"blk.{n}.attn_{p}"].T, c, turned=p != "v") for p, c in zip("qkv", (HEADS, GROUPS, GROUPS), strict=True))
        k, v = (np.repeat(y, HEADS // GROUPS, 1) for y in (k, v))
        scores = np.where(np.tri(length) > 0, np.einsum("lhe,she->hls", q, k) / np.sqrt(size), -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hls,shv->lhv", weights / weights.sum(-1, keepdims=True), v)
        x = x + mixed.reshape(length, -1) @ w[f"blk.{n}.attn_output"].T
        h = norm(x, w[f"blk.{n}.ffn_norm"])
        gate = h @ w[f"blk.{n}.ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[f"blk.{n}.ffn_up"].T)) @ w[f"blk.{n}.ffn_down"].T
    return norm(x, w["output_norm"]) @ w.get("output", w["token_embd"]).T


@pytest.mark.parametrize("kinds", [["Q4_1", "Q8_0", "F32"], ["Q4_K", "Q6_K", "F16"], ["Q4_0", "Q5_0", "Q5_1", "BF16"]])
def test_scores_of_a_model(tmp_path: Path, kinds: list[str]) -> None:
    path = write(tmp_path / "model.gguf", METADATA, model_tensors(np.random.default_rng(3), kinds))
    model, tokens = load(path).model, gd.placeholder("tokens", (1, "L"), "int64")
    expected = reference(path, [5, 9, 60, 1, 5])
    found = gd.compile(model(tokens), inputs=[tokens], mode="inference")(np.array([[5, 9, 60, 1, 5]]))
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=2e-4 * np.abs(expected).max())


def test_generating_reads_as_it_writes(small: Path) -> None:
    model = load(small).model
    written = gd.nn.models.Generator(model, max_length=24).generate(np.array([3, 4, 5]), 12, temperature=0)
    for place in range(3, 15):
        scores = reference(small, [int(token) for token in written[:place]])[-1]
        assert scores[written[place]] >= scores.max() - 1e-3 * np.abs(scores).max()


# -- the tokenizer --------------------------------------------------------------------------------------------------


def test_tokens_of_text() -> None:
    tokenizer = Tokenizer({**METADATA, "tokenizer.ggml.token_type": np.array(METADATA["tokenizer.ggml.token_type"])})
    assert [PIECES[token] for token in tokenizer.encode("the  the12 tin<|end|>")] == [
        "the", "Ġ", "Ġthe", "1", "2", "Ġ", "t", "in", "<", "|", "e", "n", "d", "|", ">",
    ]  # fmt: skip
    assert tokenizer.encode("in<|end|>", special=True) == [PIECES.index("in"), PIECES.index("<|end|>")]
    for text in ("", "naïve 漢字\n\t x", "a\u2028b\x00", "😀"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    start = time.perf_counter()
    assert len(tokenizer.encode("th" * 50_000 + "e")) == 50_000
    assert time.perf_counter() - start < LONGEST
    assert list(tokenizer.stream(tokenizer.encode("é")))[-2:] == ["é", ""]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer.ggml.model": "llama"}, "'llama'"),
        ({"tokenizer.ggml.pre": "unheard"}, "'unheard'"),
        ({"tokenizer.ggml.tokens": 7}, "no strings"),
        ({"tokenizer.ggml.merges": ["ab"]}, "no pair"),
        ({"tokenizer.ggml.eos_token_id": 100000}, "none of the"),
    ],
)
def test_unfit_tokenizers(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Tokenizer({**METADATA, **changes})


# -- files that are not as they should be ---------------------------------------------------------------------------


def _patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "no GGUF"),
        (lambda data: b"GGML" + data[4:], "does not begin"),
        (lambda data: _patched(data, 4, struct.pack("<I", 1)), "version 1"),
        (lambda data: _patched(data, 4, struct.pack(">I", 3)), "big-endian"),
        (lambda data: _patched(data, 8, struct.pack("<Q", 1 << 60)), "tensors do not fit"),
        (lambda data: _patched(data, 16, struct.pack("<Q", 1 << 40)), "do not fit"),
        (lambda data: _patched(data, 24, struct.pack("<Q", 1 << 62)), "do not fit"),
        (lambda data: data[:-64], "not inside the file"),
        (lambda data: data.replace(b"llama.block_count", b"llama.block_cOunt"), "block_count is missing"),
        (lambda data: data.replace(b"blk.1.ffn_up", b"blk.0.ffn_up"), "two tensors"),
        (lambda data: data.replace(b"blk.1.ffn_up", b"blk.7.ffn_up"), "no tensor blk.1.ffn_up"),
    ],
)
def test_damaged_headers(small: Path, change: Callable[[bytes], bytes], message: str) -> None:
    small.write_bytes(change(small.read_bytes()))
    with pytest.raises(FormatError, match=message):
        load(small)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.architecture": "mamba"}, "'mamba'"),
        ({"llama.attention.head_count": 3}, "do not divide"),
        ({"llama.embedding_length": 128}, "has shape"),
        ({"llama.rope.scaling.type": "yarn"}, "'yarn'"),
        ({"llama.rope.dimension_count": 8}, "dimension_count"),
        ({"llama.rope.freq_base": -1.0}, "positive number"),
        ({"llama.block_count": 1 << 30}, "no tensor blk.2"),
        ({"llama.block_count": 1}, "no part of a model"),
        ({"tokenizer.ggml.tokens": PIECES[:-1]}, "rows for"),
        ({"general.alignment": 24}, "power of two"),
    ],
)
def test_models_that_are_not_run(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "model.gguf", {**METADATA, **changes}, model_tensors(np.random.default_rng(2), ["Q8_0"]))
    with pytest.raises(FormatError, match=message):
        load(path)


def test_damaged_files(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    random, loaded = Random(7), 0
    sources = [write(tmp_path / "source.gguf", METADATA, model_tensors(np.random.default_rng(2), kinds)).read_bytes() for kinds in (["Q4_1"], ["Q6_K", "F16"])]
    count = request.config.getoption("--fuzz-files")
    assert isinstance(count, int)
    path = tmp_path / "damaged.gguf"
    tracemalloc.start()
    for _ in range(count):
        source = random.choice(sources)
        head = source.index(b"blk.1.ffn_norm") + 200  # what follows are weights, any of which are possible
        path.write_bytes(damaged(source[:head], random) + source[head:])
        start = time.perf_counter()
        tracemalloc.reset_peak()
        try:
            load(path)
            loaded += 1
        except GraphdlError:
            pass
        assert time.perf_counter() - start < LONGEST
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    tracemalloc.stop()
    assert loaded, "no damage was slight"
