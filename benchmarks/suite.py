"""Running a case: every framework in a process of its own, one after the other in turn, several rounds."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .case import FRAMEWORKS, Array, Case, Sizes


@dataclass
class Measured:
    """One framework on one case. Seconds; `rounds` has the median of each round. `failure` says why there is nothing else.

    `memory` is what the process held at most, `held` what a training step does (see `memory.py`), 0 where nobody counts it, in bytes;
    `flops` and `moved` are the operations and bytes of graphdl's kernels (see `work.py`).
    `difference` is that of its first result from graphdl's, at most, relative to the largest element.
    """

    framework: str
    rounds: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)
    imported: float = 0.0
    cold: float = 0.0
    cached: float = 0.0
    memory: int = 0
    held: int = 0
    flops: int = 0
    moved: int = 0
    difference: float = 0.0
    failure: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, relative to the median."""
        low, _, high = statistics.quantiles(self.samples, n=4)
        return (high - low) / 2 / self.median


@dataclass
class Comparison:
    """All frameworks on one case of one size, on so many threads."""

    case: Case
    sizes: Sizes
    threads: int
    measured: list[Measured]

    def of(self, framework: str) -> Measured | None:
        return next((one for one in self.measured if one.framework == framework and not one.failure), None)

    def ratio(self, other: Measured) -> tuple[float, float, float]:
        """How many times as long `other` takes as graphdl: the median over rounds, the least and the greatest."""
        own = self.of("graphdl")
        assert own is not None
        ratios = sorted(b / a for a, b in zip(own.rounds, other.rounds, strict=True))
        return statistics.median(ratios), ratios[0], ratios[-1]


def is_installed(framework: str) -> bool:
    """Whether the framework's module can be imported here."""
    return importlib.util.find_spec(FRAMEWORKS[framework]) is not None


def compare(case: Case, sizes: Sizes, threads: int, frameworks: Sequence[str], rounds: int, seconds: float) -> Comparison:
    """Measure a case. Processes that are not measuring wait for their turn and do nothing."""
    chosen = [name for name in frameworks if name in case.build and is_installed(name)]
    with tempfile.TemporaryDirectory() as folder:
        workers = [_Worker(case, name, sizes, threads, Path(folder)) for name in chosen]
        try:
            _check(case, workers)
            for _ in range(rounds):
                for worker in workers:
                    worker.measure(seconds)
            for worker in workers:
                worker.count(case.is_step)
        finally:
            for worker in workers:
                worker.stop()
    return Comparison(case, sizes, threads, [worker.measured for worker in workers])


class _Worker:
    """A process for one framework: first with empty caches, then again with what those then hold."""

    def __init__(self, case: Case, framework: str, sizes: Sizes, threads: int, folder: Path) -> None:
        self.measured = Measured(framework)
        self.results = folder / f"{framework}.npz"
        self.command = [sys.executable, "-m", "benchmarks.worker", case.name, framework, json.dumps(dict(sizes)), str(threads), str(self.results)]
        self.environment = {**os.environ, **_caches(folder / framework)}
        self._start()
        self.measured.cold = self._ready()
        self.stop()
        if not self.measured.failure:
            self._start()
            self.measured.cached = self._ready()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip

    def _ready(self) -> float:
        answer = self._answer()
        self.measured.imported = answer.get("import", 0.0)
        return float(answer.get("ready", 0.0))

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        assert self.process.stderr
        line = self.process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        lines = self.process.stderr.read().strip().splitlines()
        self.measured.failure = lines[-1] if lines else "ended without a word"
        return {}

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question; empty where the process has failed."""
        if self.measured.failure:
            return {}
        assert self.process.stdin
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self._answer()

    def count(self, is_step: bool) -> None:
        """Have the framework count the work, and what a training step holds."""
        counted = self._ask({"count": self.measured.framework, "step": is_step})
        self.measured.held, self.measured.flops, self.measured.moved = (counted.get(name, 0) for name in ("held", "flops", "moved"))

    def measure(self, seconds: float) -> None:
        answer = self._ask({"seconds": seconds})
        if answer:
            self.measured.samples += answer["samples"]
            self.measured.rounds.append(statistics.median(answer["samples"]))
            self.measured.memory = answer["memory"]

    def stop(self) -> None:
        self.process.communicate()


def _caches(folder: Path) -> Mapping[str, str]:
    """Where each framework keeps what it has compiled."""
    return {
        "GRAPHDL_CACHE_DIR": str(folder / "graphdl"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "torch"),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }


def _check(case: Case, workers: Sequence[_Worker]) -> None:
    """A framework whose first result differs from graphdl's is not compared."""
    own = next((worker for worker in workers if worker.measured.framework == "graphdl" and not worker.measured.failure), None)
    if own is None:
        return
    expected = np.load(own.results)
    for worker in workers:
        if worker is own or worker.measured.failure:
            continue
        worker.measured.difference = difference = _difference(expected, np.load(worker.results))
        if not difference <= case.tolerance:
            worker.measured.failure = f"another result: off by {difference:.1e}"


def _difference(expected: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    """How far results are apart at most, relative to the largest element of each; infinite where shapes differ."""
    if len(expected) != len(found) or any(expected[name].shape != found[name].shape for name in expected):
        return float("inf")
    scales = {name: float(np.max(np.abs(array), initial=1e-30)) for name, array in expected.items()}
    return max(float(np.max(np.abs(array - found[name]), initial=0.0)) / scales[name] for name, array in expected.items())
