"""One framework on one case, in a process of its own that runs when it is told to.

It reads lines of JSON from standard input and answers each with one: `{"seconds": s}` measures for so long, `{"count": framework,
"step": is_step}` counts the work of a run, and the memory of a training step.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .case import FRAMEWORKS, Run, all_cases
from .memory import HELD
from .threads import limit_threads
from .work import work

SAMPLE = 200e-6  # seconds at least that one sample lasts, so that the clock does not matter


def main() -> None:
    """Arguments: case, framework, sizes as JSON, threads, and the file for the first result."""
    name, framework, sizes, threads, results = sys.argv[1:]
    limit_threads(int(threads))
    case = all_cases()[name]
    began = time.perf_counter()
    __import__(FRAMEWORKS[framework])
    if framework.startswith("torch"):
        import torch

        torch.set_num_threads(int(threads))
    imported = time.perf_counter()
    run = case.build[framework](json.loads(sizes))
    first = run()
    ready = time.perf_counter()
    np.savez(results, *map(np.asarray, first))
    answer({"import": imported - began, "ready": ready - imported})
    for line in sys.stdin:
        asked = json.loads(line)
        if "count" in asked:
            held = HELD[asked["count"]](run) if asked["step"] and asked["count"] in HELD else 0
            flops, moved = work(run) if asked["count"] == "graphdl" else (0, 0)
            answer({"held": held, "flops": flops, "moved": moved})
        else:
            answer({"samples": measure(run, asked["seconds"]), "memory": peak_memory()})


def peak_memory() -> int:
    """The most bytes that this process ever held in memory; what `resource` tells counts its parent too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def answer(values: dict[str, Any]) -> None:
    """One line for the process that asks."""
    print(json.dumps(values), flush=True)


def measure(run: Run, seconds: float) -> list[float]:
    """Seconds of a run, sampled for so long after a short warm-up."""
    repeat = _repeat(run)
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples) < 5:
        start = time.perf_counter()
        for _ in range(repeat):
            run()
        samples.append((time.perf_counter() - start) / repeat)
    return summary(samples)


def _repeat(run: Run) -> int:
    """How many runs make a sample."""
    repeat = 1
    while True:
        start = time.perf_counter()
        for _ in range(repeat):
            run()
        if time.perf_counter() - start >= SAMPLE:
            return repeat
        repeat *= 2


def summary(samples: Sequence[float]) -> list[float]:
    """At most 50 quantiles, which say as much as thousands of samples."""
    return list(samples) if len(samples) <= 50 else statistics.quantiles(samples, n=51)


if __name__ == "__main__":
    main()
