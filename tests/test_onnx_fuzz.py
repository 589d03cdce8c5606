"""Damaged model files: whatever is in them, loading ends soon, with a model or with an error of graphdl's own."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from random import Random

import onnx
import pytest

import graphdl as gd
from graphdl.errors import GraphdlError
from tests.damage import damaged
from tests.onnx_cases import cases

LONGEST = 20.0  # seconds for one file
MEMORY = 1 << 30  # bytes for one file
LARGEST = 200_000  # bytes of a file that is taken


def files() -> list[bytes]:
    """The models that the package onnx ships, and one node test in eight."""
    shipped = Path(onnx.__file__).parent.glob("backend/test/data/**/*.onnx")
    small = [path.read_bytes() for path in sorted(shipped) if path.stat().st_size < LARGEST]
    return small + [case.model.SerializeToString() for case in list(cases().values())[::8]]


def test_damaged_files(request: pytest.FixtureRequest) -> None:
    random, sources = Random(6), files()
    loaded = 0
    tracemalloc.start()
    count = request.config.getoption("--fuzz-files")
    assert isinstance(count, int)
    for _ in range(count):
        data = damaged(random.choice(sources), random)
        start = time.perf_counter()
        tracemalloc.reset_peak()
        try:
            gd.onnx.load(data)
            loaded += 1
        except GraphdlError:
            pass
        assert time.perf_counter() - start < LONGEST
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    tracemalloc.stop()
    assert loaded, "no damage was slight"
