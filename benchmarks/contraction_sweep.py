"""Matrix products of random shapes and layouts beside PyTorch's: where graphdl is slowest, relative to it.

Sizes are drawn evenly by their logarithm. Both run in this process and take turns; the best of each counts.

    python -m benchmarks.contraction_sweep --shapes 200 --threads 2
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from .case import normal


@dataclass(frozen=True, order=True)
class Row:
    """One shape: PyTorch's time over graphdl's, and both in seconds."""

    ratio: float
    name: str
    graphdl: float
    torch: float
    flops: float

    def __str__(self) -> str:
        rate = self.flops / self.graphdl / 1e9
        return f"{self.ratio:6.2f}  {self.name:24} graphdl {self.graphdl * 1e6:9.1f} us   PyTorch {self.torch * 1e6:9.1f} us   {rate:6.1f} GFLOP/s"


def best_times(first: Callable[[], object], second: Callable[[], object], seconds: float) -> tuple[float, float]:
    """The least seconds of a run of each, in turns, each long enough for the clock."""
    for run in (first, second) * 2:
        run()
    begun = time.perf_counter()
    first()
    repeat = max(1, int(0.002 / max(time.perf_counter() - begun, 1e-7)))
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for run, found in zip((first, second), times, strict=True):
            begun = time.perf_counter()
            for _ in range(repeat):
                run()
            found.append((time.perf_counter() - begun) / repeat)
    return min(times[0]), min(times[1])


def measure(chance: random.Random, largest: int, threads: int, seconds: float) -> Row:
    """A random shape and layout: `n` is an operand as it is, `t` one that is given transposed."""
    import torch

    import graphdl as gd

    m, k, n = (round(2 ** chance.uniform(0, math.log2(largest))) for _ in range(3))
    layout = chance.choice(["nn", "nt", "tn", "tt"])
    shapes = (m, k) if layout[0] == "n" else (k, m), (k, n) if layout[1] == "n" else (n, k)
    a, b = (gd.placeholder(name, shape) for name, shape in zip("ab", shapes, strict=True))
    f = gd.compile((a if layout[0] == "n" else a.T) @ (b if layout[1] == "n" else b.T), [a, b], threads=threads)
    x, y = (normal(*shape, seed=seed) for seed, shape in enumerate(shapes))
    left, right = (torch.from_numpy(array) if kind == "n" else torch.from_numpy(array).T for array, kind in zip((x, y), layout, strict=True))
    own, other = best_times(lambda: f(x, y), lambda: torch.matmul(left, right), seconds)
    return Row(other / own, f"{layout} {m}x{k}x{n}", own, other, 2.0 * m * k * n)


def main() -> None:
    """Print the mean ratio and the worst shapes."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"shapes": 100, "largest": 2048, "threads": 1, "seed": 1, "worst": 10}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=0.06, help="for each shape")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    chance = random.Random(a.seed)
    rows = sorted(measure(chance, a.largest, a.threads, a.seconds) for _ in range(a.shapes))
    mean = math.exp(sum(math.log(row.ratio) for row in rows) / len(rows))
    print(f"{a.shapes} shapes, {a.threads} threads: PyTorch's time over graphdl's is {mean:.2f} in the geometric mean; below 1 in "
          f"{sum(row.ratio < 1 for row in rows)}, below one half in {sum(row.ratio < 0.5 for row in rows)}; the worst are")  # fmt: skip
    print("\n".join(map(str, rows[: a.worst])))


if __name__ == "__main__":
    main()
