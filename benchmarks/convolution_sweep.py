"""Convolutions of random shapes, with bias and ReLU, beside PyTorch's and ONNX Runtime's: where graphdl is slowest, relative to the faster one.

Kernels, strides, dilations, groups and sizes are drawn as networks have them, uneven ones among them. All run in this process and take
turns; the best of each counts. A peer that is not installed is left out.

    python -m benchmarks.convolution_sweep --shapes 100 --threads 1
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .case import Array, Run, normal
from .onnx_model import onnx_run
from .threads import limit_threads

LARGEST = 4e9  # floating-point operations of one convolution


@dataclass(frozen=True)
class Shape:
    """One convolution over square images; the padding keeps sizes where the stride is 1, or is none."""

    batch: int
    channels: int
    outputs: int
    side: int
    kernel: int
    stride: int
    dilation: int
    groups: int
    is_padded: bool

    @property
    def padding(self) -> int:
        return (self.kernel - 1) * self.dilation // 2 if self.is_padded else 0

    @property
    def places(self) -> int:
        """Of the result, in one row."""
        return (self.side + 2 * self.padding - (self.kernel - 1) * self.dilation - 1) // self.stride + 1

    @property
    def flops(self) -> float:
        return 2.0 * self.batch * self.places**2 * self.outputs * self.channels // self.groups * self.kernel**2

    def __str__(self) -> str:
        padded = "padded" if self.is_padded else "valid"
        return (
            f"{self.batch}x{self.channels}x{self.side}^2 -> {self.outputs}, kernel {self.kernel} stride {self.stride} "
            f"dilation {self.dilation} groups {self.groups} {padded}"
        )


def drawn(chance: random.Random) -> Shape:
    """A random shape whose result has places."""
    while True:
        groups = chance.choice([1, 1, 1, 1, 2, 4, 0])
        width = round(2 ** chance.uniform(0 if groups == 1 else 3, 8))
        channels = width if groups == 0 else width * groups
        outputs = channels if groups == 0 else round(2 ** chance.uniform(2, 8)) * groups
        kernel = chance.choice([1, 3, 3, 3, 5, 7])
        side, batch = round(2 ** chance.uniform(2, 7.5)), chance.choice([1, 1, 2, 8, 16])
        dilation = chance.choice([1, 1, 1, 2])
        found = Shape(batch, channels, outputs, side, kernel, chance.choice([1, 1, 2]), dilation, groups or channels, chance.random() < 0.8)
        if found.places > 0 and found.flops < LARGEST:
            return found


@dataclass(frozen=True, order=True)
class Row:
    """One shape: the faster peer's time over graphdl's, and all times in seconds by name."""

    ratio: float
    name: str
    flops: float
    times: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        rate = self.flops / dict(self.times)["graphdl"] / 1e9
        return f"{self.ratio:6.2f}  {self.name:75} {'  '.join(f'{name} {seconds * 1e6:9.1f} us' for name, seconds in self.times)}  {rate:6.1f} GFLOP/s"


def graphdl_run(s: Shape, x: Array, w: Array, b: Array, threads: int) -> Run:
    """graphdl's."""
    import graphdl as gd
    from graphdl.nn import functional

    given = gd.placeholder("x", x.shape)
    weight, bias = gd.parameter(w, "weight"), gd.parameter(b, "bias")
    y = gd.relu(functional.conv2d(given, weight, bias, stride=s.stride, padding=s.padding, dilation=s.dilation, groups=s.groups))
    f = gd.compile([y], [given], mode="inference", threads=threads)
    return lambda: f(x)


def torch_run(s: Shape, x: Array, w: Array, b: Array, threads: int) -> Run:
    """PyTorch's."""
    import torch

    torch.set_num_threads(threads)
    data, weight, bias = map(torch.from_numpy, (x, w, b))

    def run() -> Sequence[torch.Tensor]:
        with torch.inference_mode():
            return [torch.relu(torch.nn.functional.conv2d(data, weight, bias, s.stride, s.padding, s.dilation, s.groups))]

    return run


def onnxruntime_run(s: Shape, x: Array, w: Array, b: Array, threads: int) -> Run:
    """ONNX Runtime's, whose pool has as many threads as this process has processors."""
    attributes = {"strides": [s.stride] * 2, "pads": [s.padding] * 4, "dilations": [s.dilation] * 2, "group": s.groups}
    return onnx_run([("Conv", ["x", "w", "b"], "c", attributes), ("Relu", ["c"], "y", {})], {"x": x}, {"w": w, "b": b})


PEERS: dict[str, Callable[[Shape, Array, Array, Array, int], Run]] = {"torch": torch_run, "onnxruntime": onnxruntime_run}


def best_times(runs: Sequence[Run], seconds: float) -> list[float]:
    """The least seconds of a run of each, in turns, each long enough for the clock."""
    repeats = []
    for run in runs:
        run()
        begun = time.perf_counter()
        run()
        repeats.append(max(1, int(0.002 / max(time.perf_counter() - begun, 1e-7))))
    best = [math.inf] * len(runs)
    end, turns = time.perf_counter() + seconds * len(runs), 0
    while time.perf_counter() < end or turns < 5:
        turns += 1
        for k, (run, repeat) in enumerate(zip(runs, repeats, strict=True)):
            begun = time.perf_counter()
            for _ in range(repeat):
                run()
            best[k] = min(best[k], (time.perf_counter() - begun) / repeat)
    return best


def measure(s: Shape, peers: Sequence[str], threads: int, seconds: float) -> Row:
    """One shape; raises AssertionError if the results differ."""
    x, w = normal(s.batch, s.channels, s.side, s.side), normal(s.outputs, s.channels // s.groups, s.kernel, s.kernel, seed=1)
    arrays = x, w, normal(s.outputs, seed=2)
    runs = [graphdl_run(s, *arrays, threads), *(PEERS[name](s, *arrays, threads) for name in peers)]
    results = [np.asarray(run()[0]) for run in runs]
    for name, result in zip(peers, results[1:], strict=True):
        assert np.abs(result - results[0]).max() <= 1e-4 * max(np.abs(result).max(), 1.0), f"{s}: other results than {name}"
    times = best_times(runs, seconds)
    return Row(min(times[1:]) / times[0], str(s), s.flops, tuple(zip(("graphdl", *peers), times, strict=True)))


def main() -> None:
    """Print the mean ratio and the worst shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"shapes": 100, "threads": 1, "seed": 1, "worst": 15}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=0.1, help="for each shape and framework")
    a = parser.parse_args()
    limit_threads(a.threads)
    peers = [name for name in PEERS if importlib.util.find_spec(name)]
    chance = random.Random(a.seed)
    rows = sorted(measure(drawn(chance), peers, a.threads, a.seconds) for _ in range(a.shapes))
    mean = math.exp(sum(math.log(row.ratio) for row in rows) / len(rows))
    print(f"{a.shapes} shapes, {a.threads} threads: the fastest of {', '.join(peers)} takes {mean:.2f} of graphdl's time in the geometric mean; "
          f"less in {sum(row.ratio < 1 for row in rows)}, less than two thirds in {sum(row.ratio < 2 / 3 for row in rows)}; the worst are")  # fmt: skip
    print("\n".join(map(str, rows[: a.worst])))


if __name__ == "__main__":
    main()
