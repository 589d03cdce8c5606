"""Cuts of products chosen by measurement on this machine, and kept on disk.

Candidates run beside the cost model's choice on matrices of the same sizes and layouts. One is taken if it is clearly faster and its
results are the same bits. What was found is kept in the cache of objects, under the sizes, the target and the number of threads.
"""

from __future__ import annotations

import ctypes
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphdl.record import record
from graphdl.sizes import evaluate, symbols_of

from .contraction import Contraction, Cut, Direct, Known, Matrix, Parts, Schedule, Shape, Store, Traits, emit_contraction, plan
from .contraction.cut import MEASURED, MOST
from .llvm import I64, PTR, Function, Module, Value
from .runtime.cache import cached_object, default_cache, key_of
from .runtime.jit import Loaded, load_object
from .runtime.pool import pool_address
from .target import host

GROUPS = (4, 8, 16, 32, 64)
ROWS = ((0, 0), (MOST, MOST))  # B always packed, B always read in place
LEAST_WORK = 1 << 16  # multiply-adds below which nothing is measured
MOST_BYTES = 1 << 30
MOST_LINE = 256  # bytes of a cut in the cache
ROUNDS = 9
CLEARLY = 1.03  # times as fast
_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_SLOTS = ("a", "b", "c", "packed_a", "packed_b")

Array = np.ndarray[Any, Any]
Sizes = Shape[int]


class Tuner:
    """A chooser of cuts for programs that run on so many threads, at these symbolic sizes."""

    def __init__(self, threads: int, sizes: Mapping[str, int]) -> None:
        self.threads, self.sizes = threads, sizes

    def __call__(self, schedule: Schedule, traits: tuple[Traits, Traits], shape: Shape[Any]) -> Cut:
        known = self._known(shape)
        if known is None or not _is_measurable(schedule, traits, known):
            return schedule.cut
        cuts = candidates(schedule, known)
        if len(cuts) == 1:
            return schedule.cut
        key = key_of("cut", platform.node(), repr((schedule, traits, known, self.threads)), target=schedule.target)
        kept = _kept(default_cache().get(key))
        if kept is None:
            kept = measure(schedule, traits, known, cuts, self.threads)
            default_cache().put(key, json.dumps(kept.to_json()).encode())
        return kept

    def _known(self, shape: Shape[Any]) -> Sizes | None:
        """The sizes as numbers, if all symbols in them are given."""
        sizes = (shape.batch, shape.m, shape.n, shape.k)
        if any(symbols_of(size) - self.sizes.keys() for size in sizes):
            return None
        return Shape(*(evaluate(size, self.sizes) for size in sizes))


def candidates(schedule: Schedule, shape: Sizes) -> list[Cut]:
    """The cost model's cut, and all that make a difference to it at these sizes."""
    own = schedule.cut
    rows = (own.in_place_rows, *ROWS) if schedule.reads_b_in_place else (own.in_place_rows,)
    found = {_effect(schedule, shape): own}
    for cut in (Cut(group, limits) for limits in rows for group in GROUPS):
        found.setdefault(_effect(replace(schedule, cut=cut), shape), cut)
    return list(found.values())


def _effect(schedule: Schedule, shape: Sizes) -> tuple[int, int, int]:
    """What a cut decides at these sizes."""
    own = shape.transposed() if schedule.transposed else shape
    return min(schedule.group(own), schedule.tiles(own)), schedule.packs_b(own), schedule.task_columns(own)


def measure(schedule: Schedule, traits: tuple[Traits, Traits], shape: Sizes, cuts: Sequence[Cut], threads: int) -> Cut:
    """The fastest of `cuts`, of which the first is the cost model's: rounds of all of them, and the least time of each."""
    trial = _Trial.of(schedule, traits, shape, cuts, threads)
    times = [float("inf")] * len(cuts)
    results = [trial.run(k).copy() for k in range(len(cuts))]
    for _ in range(ROUNDS):
        for k in range(len(cuts)):
            begin = time.perf_counter()
            trial.run(k)
            times[k] = min(times[k], time.perf_counter() - begin)
    same = [k for k, result in enumerate(results) if result.tobytes() == results[0].tobytes()]
    best = min(same, key=times.__getitem__)
    gain = times[0] / times[best]
    chosen, told = (cuts[best], gain) if gain >= CLEARLY else (cuts[0], 1.0)
    return replace(chosen, source=MEASURED, gain=round(told, 3))


@record
class _Trial:
    """The compiled contractions of all cuts, and the memory that they run on."""

    schedules: tuple[Schedule, ...]
    names: tuple[Contraction, ...]
    loaded: Loaded
    shape: Sizes
    arrays: dict[str, Array]
    threads: int

    @staticmethod
    def of(schedule: Schedule, traits: tuple[Traits, Traits], shape: Sizes, cuts: Sequence[Cut], threads: int) -> _Trial:
        schedules = tuple(replace(schedule, cut=cut, known=_known_of(schedule, shape)) for cut in cuts)
        target = schedule.target
        module = Module(target_triple=target.triple, has_fma=target.has_fma, has_scale=target.has_scale)
        names = tuple(emit_contraction(module, one, f"cut{k}", lambda f: _prepare(f, schedule, traits, shape)) for k, one in enumerate(schedules))
        return _Trial(schedules, names, load_object(cached_object(str(module), target)), shape, _arrays(schedules, traits, shape), threads)

    def run(self, number: int) -> Array:
        """The result by one of the cuts."""
        needs, names = plan(self.schedules[number], self.shape), self.names[number]
        slots = np.array([self.arrays[name].ctypes.data for name in _SLOTS], np.int64)
        run = _RUN(pool_address())
        phases = ((names.pack_a, needs.pack_a_tasks), (names.pack_b, needs.pack_b_tasks), (names.compute, needs.compute_tasks))
        for name, tasks in phases:
            if name is not None and tasks:
                run(self.loaded.address(name), slots.ctypes.data, tasks, self.threads)
        return self.arrays["c"]


def _known_of(schedule: Schedule, shape: Sizes) -> Known:
    """The sizes that were known of the product: the trial is emitted like it."""
    own = shape.transposed() if schedule.transposed else shape
    sizes = {name: getattr(own, name) for name in ("batch", "m", "n", "k") if getattr(schedule.known, name) is not None}
    return replace(schedule.known, **sizes)


def _is_measurable(schedule: Schedule, traits: tuple[Traits, Traits], shape: Sizes) -> bool:
    """Whether matrices stand for the operands, and the product is neither tiny nor huge."""
    plain = all(one.is_direct and one.contiguous is not None for one in traits) and not schedule.in_pieces
    width = schedule.scalar.bits // 8
    held = width * shape.batch * (shape.m * shape.k + shape.k * shape.n + shape.m * shape.n)
    work = shape.batch * shape.m * shape.n * shape.k
    return plain and schedule.target == host() and work >= LEAST_WORK and held <= MOST_BYTES


def _arrays(schedules: Sequence[Schedule], traits: tuple[Traits, Traits], shape: Sizes) -> dict[str, Array]:
    """Operands of normal numbers, a result, and scratch memory for the greediest cut."""
    dtype = np.float32 if schedules[0].scalar.bits == 32 else np.float64
    generator = np.random.default_rng(0)
    needs = [plan(schedule, shape) for schedule in schedules]
    a, b = (shape.batch if one.batched else 1 for one in traits)
    return {
        "a": generator.standard_normal(a * shape.m * shape.k).astype(dtype),
        "b": generator.standard_normal(b * shape.k * shape.n).astype(dtype),
        "c": np.zeros(shape.batch * shape.m * shape.n, dtype),
        "packed_a": np.zeros(max(one.packed_a_bytes for one in needs) + 64, np.uint8),
        "packed_b": np.zeros(max(one.packed_b_bytes for one in needs) + 64, np.uint8),
    }


def _prepare(f: Function, schedule: Schedule, traits: tuple[Traits, Traits], shape: Sizes) -> Parts:
    """Dense matrices in the operands' layouts and a plain store."""
    batch, m, n, k, one, zero = map(I64.const, (shape.batch, shape.m, shape.n, shape.k, 1, 0))
    scalar = schedule.scalar
    a_strides = (k, one) if traits[0].contiguous == "k" else (one, m)
    b_strides = (one, n) if traits[1].contiguous == "mn" else (k, one)
    a = Matrix(Direct(_slot(f, "a"), *a_strides, f.mul(m, k) if traits[0].batched else zero), scalar, traits[0].contiguous)
    b = Matrix(Direct(_slot(f, "b"), *b_strides, f.mul(k, n) if traits[1].batched else zero), scalar, traits[1].contiguous)
    c = Store(Direct(_slot(f, "c"), n, one, f.mul(m, n)), scalar)
    return Parts(batch, m, n, k, a, b, c, _slot(f, "packed_a"), _slot(f, "packed_b"))


def _slot(f: Function, name: str) -> Value:
    return f.load(f.offset(f.parameters[0], I64.const(_SLOTS.index(name)), "i64"), PTR)


def _kept(data: bytes | None) -> Cut | None:
    """What the cache holds, if that is a cut."""
    try:
        return None if data is None or len(data) > MOST_LINE else Cut.from_json(json.loads(data))
    except (ValueError, RecursionError):
        return None
