"""The most memory that a training step holds: as graphdl's plan says before it runs, and as PyTorch's allocator counts it.

Both count inputs, parameters, the optimiser's state, gradients and everything between, and neither the code nor what libraries keep for
themselves. PyTorch's is what its tensors hold before a step plus the highest sum of what its allocator gives and takes during it.

    python -m benchmarks.memory --case lstm_step --size length=256
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from typing import Any

from .case import Run, all_cases


def planned(run: Any) -> tuple[int, int]:
    """Bytes that graphdl's step holds, and of these the arena's."""
    import graphdl as gd

    cost = gd.cost(run.func).at(N=len(run.args[0]), batch=len(run.args[0]))
    return cost["peak_memory"], cost["arena"]


def allocated(run: Run) -> int:
    """Bytes that PyTorch's step holds at most, from its second step on, when the optimiser has its state."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    run()
    gc.collect()
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in gc.get_objects() if torch.is_tensor(tensor)}
    gradients = [tensor.grad for tensor in gc.get_objects() if torch.is_tensor(tensor) and tensor.is_leaf and tensor.grad is not None]
    held |= {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in gradients}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    events = sorted((event.start_ns(), event.nbytes()) for event in seen.profiler.kineto_results.events() if event.name() == "[memory]")
    now = most = 0
    for _, amount in events:
        now += amount
        most = max(most, now)
    return int(sum(held.values()) + most)


HELD: dict[str, Callable[[Run], int]] = {"graphdl": lambda run: planned(run)[0], "torch": allocated, "torch.compile": allocated}


def main() -> None:
    """A line for each training step."""
    steps = [name for name in sorted(all_cases()) if name.endswith("_step")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=steps, help="only this step; may be repeated")
    parser.add_argument("--size", action="append", default=[], metavar="NAME=N", help="another size, for every case that has it; may be repeated")
    asked = parser.parse_args()
    changes = {name: int(size) for name, _, size in (one.partition("=") for one in asked.size)}
    print(f"{'step':14}{'graphdl MB':>12}{'its arena':>12}{'torch MB':>12}{'ratio':>8}   sizes")
    for case in (all_cases()[name] for name in asked.case or steps):
        for sizes in case.all_sizes(changes):
            whole, arena = planned(case.build["graphdl"](sizes))
            other = allocated(case.build["torch"](sizes))
            told = " ".join(f"{name}={size}" for name, size in sizes.items())
            print(f"{case.name:14}{whole / 1e6:12.2f}{arena / 1e6:12.2f}{other / 1e6:12.2f}{whole / other:8.2f}   {told}", flush=True)


if __name__ == "__main__":
    main()
