"""Autotuning: measured cuts change no bit, are kept on disk, and are told."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl.backends.native import tuning
from graphdl.backends.native.contraction import Cut, Known, Schedule, Shape, Traits
from graphdl.backends.native.contraction.interface import Axis
from graphdl.backends.native.llvm import F32
from graphdl.backends.native.runtime.cache import ObjectCache
from graphdl.backends.native.target import host
from graphdl.errors import CompileError

LAYOUTS: list[tuple[Axis, Axis]] = [("k", "mn"), ("k", "k"), ("mn", "mn"), ("mn", "k")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectCache:
    """A cache of cuts with nothing in it."""
    made = ObjectCache(tmp_path / "cache")
    monkeypatch.setattr(tuning, "default_cache", lambda: made)
    return made


def product(m: int, k: int, n: int, **options: Any) -> tuple[gd.Executable, list[np.ndarray[Any, Any]]]:
    """relu(x @ w) with a symbolic number of rows, and arrays for it."""
    x, w = gd.placeholder("x", ("N", k)), gd.placeholder("w", (k, n))
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape, dtype=np.float32) for shape in ((m, k), (k, n))]
    return gd.compile(gd.relu(x @ w), [x, w], **options), arrays


def cuts_told(program: gd.Executable) -> list[str]:
    return [kernel.schedule for kernel in program.kernels if kernel.schedule]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [Shape(1, 100, 300, 700), Shape(1, 300, 1000, 1100), Shape(3, 40, 70, 65), Shape(1, 17, 800, 64)])
def test_every_candidate_gives_the_same_bits(layout: tuple[Axis, Axis], shape: Shape[int]) -> None:
    traits = (Traits(layout[0], True), Traits(layout[1], True))
    schedule = Schedule.choose(host(), F32, *traits, Known(None, None, shape.n, shape.k))
    cuts = tuning.candidates(schedule, shape)
    assert cuts[0] == schedule.cut
    results = [tuning._Trial.of(schedule, traits, shape, cuts, threads).run(k).tobytes() for threads in (1, 2) for k in range(len(cuts))]
    assert len(set(results)) == 1


def test_bits_stay_and_the_choice_is_told() -> None:
    plain, arrays = product(100, 300, 1000)
    expected = plain(*arrays).tobytes()
    assert cuts_told(plain) == ["groups of 16, B in place up to 128 or 28 rows (cost model)"]
    for threads in (1, 2):
        tuned, _ = product(100, 300, 1000, autotune=True, sizes={"N": 100}, threads=threads)
        assert tuned(*arrays).tobytes() == expected
        assert all("(measured" in told for told in cuts_told(tuned))
        assert "measured" in str(tuned.kernels.schedules)


def test_what_was_measured_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(1, 64, 2048, 512)
    traits = (Traits("k", True), Traits("mn", True))
    schedule = Schedule.choose(host(), F32, *traits)
    tuner = tuning.Tuner(1, {})
    monkeypatch.setattr(tuning, "measure", lambda *_: Cut(32, (0, 0), "measured", 1.25))
    assert tuner(schedule, traits, shape) == Cut(32, (0, 0), "measured", 1.25)
    monkeypatch.setattr(tuning, "measure", None)
    assert tuner(schedule, traits, shape).told == "groups of 32, B packed (measured, 1.25 times as fast)"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"[1, 2]", b"[0, 1, 1, 1.0]", b"[16, 1, 1, -1.0]", b"[16, 1, 1, NaN]", b"[1e9, 1, 1, 1.0]", b"[" * 200, b" " * 1000]
)
def test_damaged_entries_are_measured_again(data: bytes, cache: ObjectCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "get", lambda key: data)
    found = Cut(8, (0, 0), "measured", 1.5)
    monkeypatch.setattr(tuning, "measure", lambda *_: found)
    traits = (Traits("k", True), Traits("mn", True))
    assert tuning.Tuner(1, {})(Schedule.choose(host(), F32, *traits), traits, Shape(1, 64, 2048, 512)) is found


def test_unknown_sizes_expressions_and_small_products_go_by_the_cost_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "measure", None)
    assert cuts_told(product(100, 300, 1000, autotune=True)[0]) == ["groups of 16, B in place up to 128 or 28 rows (cost model)"]
    assert cuts_told(product(4, 16, 64, autotune=True, sizes={"N": 4})[0]) == ["groups of 16, B in place up to 128 or 28 rows (cost model)"]


def test_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHDL_AUTOTUNE", "1")
    assert product(8, 8, 8)[0].compilation.tuned == {}
    assert product(8, 8, 8, autotune=False)[0].compilation.tuned is None
    monkeypatch.setenv("GRAPHDL_AUTOTUNE", "0")
    assert product(8, 8, 8)[0].compilation.tuned is None


def test_unfit_sizes() -> None:
    with pytest.raises(CompileError, match="no size M"):
        product(8, 8, 8, autotune=True, sizes={"M": 3})


def test_candidates_differ_in_what_they_do() -> None:
    schedule = Schedule.choose(host(), F32, Traits("k", True), Traits("mn", True))
    shape = Shape(1, 2000, 300, 500)
    effects = [tuning._effect(schedule.__class__(host(), F32, schedule.a, schedule.b, cut=cut), shape) for cut in tuning.candidates(schedule, shape)]
    assert all(one != other for one, other in itertools.combinations(effects, 2))
