"""A convolution and both its gradients beside PyTorch's, for the shapes of layers of networks: times, and PyTorch's time over graphdl's.

Both run in this process on one thread and take turns; the best of each counts. The gradients by the data and by the kernel are programs of their own.

    python -m benchmarks.convolution_gradients
    python -m benchmarks.convolution_gradients --shape 8,128,256,28,3,2 --profile
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .case import Run, normal
from .convolution_sweep import Shape, best_times
from .threads import limit_threads

# batch, channels, outputs, side, kernel, stride; groups if there are any
SHAPES = (
    "8,64,64,56,3,1", "8,128,128,28,3,1", "16,512,512,7,3,1", "128,32,32,14,3,1", "64,16,32,14,3,1", "64,1,16,28,3,1", "32,3,64,32,3,1", "32,16,33,17,5,1",
    "8,64,256,28,1,1", "8,64,128,56,3,2", "8,128,256,28,3,2", "4,17,33,50,5,3", "4,3,64,112,7,2", "8,64,64,28,3,1,64", "8,64,64,28,5,1,64",
)  # fmt: skip
NAMES = "forward", "by data", "by kernel"


def shape_of(text: str) -> Shape:
    """A shape from its numbers."""
    batch, channels, outputs, side, kernel, stride, *groups = map(int, text.split(","))
    return Shape(batch, channels, outputs, side, kernel, stride, 1, groups[0] if groups else 1, True)


def programs(s: Shape, arrays: Sequence[Any]) -> list[tuple[Any, Sequence[Any]]]:
    """graphdl's three programs, and what each is called with."""
    import graphdl as gd
    from graphdl.nn import functional

    x, w, cotangent = (gd.placeholder(name, array.shape) for name, array in zip(("x", "w", "cotangent"), arrays, strict=True))
    y = functional.conv2d(x, w, None, s.stride, s.padding, s.dilation, s.groups)
    by_data, by_kernel = gd.vjp([y], [x, w], [cotangent])
    given = dict(zip((x, w, cotangent), arrays, strict=True))
    needs = (y, (x, w)), (by_data, (w, cotangent)), (by_kernel, (x, cotangent))
    return [(gd.compile([result], [*inputs], threads=1), [given[one] for one in inputs]) for result, inputs in needs]


def measure(s: Shape, seconds: float, is_profiled: bool) -> str:
    """One line for a shape; raises AssertionError if the gradients differ."""
    import torch

    shapes = (s.batch, s.channels, s.side, s.side), (s.outputs, s.channels // s.groups, s.kernel, s.kernel), (s.batch, s.outputs, s.places, s.places)
    arrays = [normal(*shape, seed=k) for k, shape in enumerate(shapes)]
    made = programs(s, arrays)
    x, w, cotangent = map(torch.from_numpy, arrays)
    places = [s.stride] * 2, [s.padding] * 2, [s.dilation] * 2

    def gradient(mask: list[bool]) -> Any:
        return torch.ops.aten.convolution_backward(cotangent, x, w, None, *places, False, [0, 0], s.groups, mask)

    def forward() -> Any:
        with torch.inference_mode():
            return [torch.conv2d(x, w, None, *places, s.groups)]

    peers: list[Run] = [forward, lambda: gradient([True, False, False])[:1], lambda: gradient([False, True, False])[1:2]]
    own_runs: list[Run] = [partial(f, *given) for f, given in made]
    for run, peer, name in zip(own_runs, peers, NAMES, strict=True):
        own, other = (np.asarray(one()[0]) for one in (run, peer))
        assert np.abs(own - other).max() <= 1e-4 * np.abs(other).max(), f"{s}: another result {name} than PyTorch's"
    times = best_times([*own_runs, *peers], seconds)
    if is_profiled:
        for f, given in made:
            print(f.profile(*given))
    turns = zip(NAMES, times[:3], times[3:], strict=True)
    parts = [f"{name} {own * 1e6:8.0f} us {s.flops / own / 1e9:6.1f} GFLOP/s {other / own:5.2f}" for name, own, other in turns]
    return f"{s!s:75} {'   '.join(parts)}   all {sum(times[3:]) / sum(times[:3]):5.2f}"


def main() -> None:
    """Print a line for every shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", help="batch,channels,outputs,side,kernel,stride[,groups]")
    parser.add_argument("--seconds", type=float, default=0.1, help="for each shape, program and framework")
    parser.add_argument("--profile", action="store_true", help="print what each kernel takes")
    a = parser.parse_args()
    limit_threads(1)
    for text in a.shape or SHAPES:
        print(measure(shape_of(text), a.seconds, a.profile), flush=True)


if __name__ == "__main__":
    main()
