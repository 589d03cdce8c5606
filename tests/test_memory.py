"""Memory planning: temporaries that live at one time never share bytes, whatever the sizes, and small ones live beside each other."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from graphdl.kernel.expression import Buffer
from graphdl.lowering.memory import ALIGNMENT, STAGGER, Interval, plan
from graphdl.sizes import Dim, evaluate, symbol
from graphdl.types import TensorType

N, T = symbol("N"), symbol("T")
SIZES: list[Dim] = [64, 4096, 100, 12 * N, 1024 * N, 4096 * N, 64 * N * T, 1 << 20, 4 * T * T]


def interval(first: int, last: int, size: Dim) -> Interval:
    return Interval(Buffer("t", TensorType("float32", ()), "temporary"), first, last, size)


@pytest.mark.parametrize("seed", range(20))
def test_temporaries_that_live_together_lie_apart(seed: int) -> None:
    generator = np.random.default_rng(seed)
    lives = []
    for _ in range(40):
        first = int(generator.integers(0, 60))
        lives.append(interval(first, first + int(generator.integers(0, 20)), SIZES[generator.integers(len(SIZES))]))
    found = plan(sorted(lives, key=lambda one: one.first))
    for bound in ({"N": 1, "T": 1}, {"N": 1000, "T": 3}, {"N": 7, "T": 900}):
        at = {one.buffer: (evaluate(found.offsets[one.buffer], bound), evaluate(one.size, bound)) for one in lives}
        assert all(start % ALIGNMENT == 0 and start + size <= evaluate(found.total, bound) for start, size in at.values())
        for one, other in combinations(lives, 2):
            if one.first <= other.last and other.first <= one.last:
                (a, size_a), (b, size_b) = at[one.buffer], at[other.buffer]
                assert a + size_a <= b or b + size_b <= a, (one, other, bound)


@pytest.mark.parametrize("unit", [1 << 20, 4096 * N])
def test_small_temporaries_share_the_place_of_a_large_one(unit: Dim) -> None:
    lives = [interval(0, 1, 4 * unit), *(interval(2, 5, unit) for _ in range(2)), interval(4, 6, unit)]
    found = plan(lives)
    assert evaluate(found.total - 4 * unit, {"N": 10}) <= 2 * STAGGER
