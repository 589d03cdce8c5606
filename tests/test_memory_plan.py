"""The arena: temporaries that live at the same time never share a byte, whatever the symbolic sizes are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphdl.kernel.expression import Buffer
from graphdl.lowering.memory import ALIGNMENT, Interval, plan
from graphdl.sizes import Dim, evaluate, symbol
from graphdl.types import TensorType, as_dim


def lives_of(seed: int, count: int = 60) -> list[Interval]:
    """Temporaries of random sizes and lives; some grow with N, some with M, some not at all, and some are not aligned."""
    generator = np.random.default_rng(seed)
    growing: list[Dim] = [symbol("N") * 64, symbol("N") * 12, symbol("M") * 128, symbol("N") * symbol("M") * 4, 1]
    found = []
    for k in range(count):
        size = growing[int(generator.integers(len(growing)))] * int(2 ** generator.integers(0, 9))
        begin = int(generator.integers(0, 100))
        found.append(Interval(Buffer(f"t{k}", TensorType("float32", ()), "temporary"), begin, begin + int(generator.integers(0, 30)), size))
    return sorted(found, key=lambda life: life.first)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("sizes", [{"N": 0, "M": 0}, {"N": 1, "M": 7}, {"N": 33, "M": 2}, {"N": 64, "M": 64}, {"N": 1000, "M": 3}])
def test_lives_at_one_time_are_apart(seed: int, sizes: dict[str, int]) -> None:
    lives = lives_of(seed)
    planned = plan(lives)
    begin = {life.buffer: evaluate(planned.offsets[life.buffer], sizes) for life in lives}
    end = {life.buffer: begin[life.buffer] + evaluate(life.size, sizes) for life in lives}
    assert all(place % ALIGNMENT == 0 for place in begin.values())
    assert max(end.values()) <= evaluate(planned.total, sizes)
    for one, other in itertools.combinations(lives, 2):
        together = one.first <= other.last and other.first <= one.last
        assert not together or begin[one.buffer] >= end[other.buffer] or begin[other.buffer] >= end[one.buffer]


def test_smaller_ones_live_beside_each_other_where_a_large_one_lived() -> None:
    n = symbol("N")
    buffers = [Buffer(f"t{k}", TensorType("float32", ()), "temporary") for k in range(4)]
    spans = [(0, 1, n * 4096), (2, 5, n * 2048), (3, 6, n * 1024), (4, 5, n * 1024)]
    planned = plan([Interval(buffer, *span) for buffer, span in zip(buffers, spans, strict=True)])
    assert evaluate(planned.total, {"N": 100}) < 4096 * 100 + 4096


@pytest.mark.parametrize(("size", "largest"), [(10, 1000), (10_000, 10_000)])
def test_a_slot_of_many_tenants_that_cannot_be_compared(size: int, largest: int) -> None:
    """Thousands of temporaries of two sizes, in turns, leave a size of two terms: it was nested once for each of them."""
    types = TensorType("float32", (as_dim("N"),)), TensorType("float32", (1000,))
    buffers = [Buffer(f"t{moment}", types[moment % 2], "temporary") for moment in range(4000)]
    planned = plan([Interval(buffer, moment, moment, buffer.type.size * 4) for moment, buffer in enumerate(buffers)])
    assert 4 * largest <= evaluate(planned.total, {"N": size}) < 4 * largest + 4096
    assert set(planned.offsets.values()) == {0}
