"""Training steps under memory limits: what they hold, how long a step takes, and how long it took to compile, beside no limit.

python -m benchmarks.memory_limit --case gpt_step --share 0.8 --share 0.6
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from .case import all_cases

SHARES = (0.8, 0.6, 0.5)
ROUNDS = 7


def limited(step: Any, limit: int, sizes: Mapping[str, int]) -> Any:
    """The same declaration under a limit, with the same parameters."""
    import graphdl as gd

    count, declared = step.compilation.declared.visible, step.compilation.declared
    updates = dict(zip(declared.updated, declared.graph.outputs[count:], strict=True))
    return gd.compile(declared.graph.outputs[:count], step.inputs, updates=updates, memory_limit=limit, sizes=sizes)


def compared(steps: list[Any], arrays: tuple[Any, ...]) -> list[float]:
    """The least seconds of a call of each, taken in turns."""
    least = [float("inf")] * len(steps)
    for _ in range(ROUNDS):
        for k, step in enumerate(steps):
            begin = time.perf_counter()
            step(*arrays)
            least[k] = min(least[k], time.perf_counter() - begin)
    return least


def rows(name: str, shares: list[float]) -> list[str]:
    """A line for no limit and one for every share of what that holds."""
    import graphdl as gd

    case = all_cases()[name]
    run: Any = case.build["graphdl"](case.sizes)
    sizes = dict.fromkeys(run.func.compilation.signature.symbols, len(run.args[0]))
    whole = gd.cost(run.func).at(**sizes)["peak_memory"]
    lines = [f"{name:14}{'none':>7}{whole / 1e6:10.2f}"]
    for share in shares:
        begin = time.perf_counter()
        try:
            step = limited(run.func, int(whole * share), sizes)
        except gd.errors.MemoryLimitError as error:
            lines.append(f"{name:14}{share:7.0%}{'':10}   cannot be: {error.least / whole:.0%} was reached")
            continue
        seconds = time.perf_counter() - begin
        plain, slower = compared([run.func, step], run.args)
        held = gd.cost(step).at(**sizes)["peak_memory"]
        lines.append(f"{name:14}{share:7.0%}{held / 1e6:10.2f}{held / whole:7.0%}{slower / plain:11.2f}{seconds:12.1f}")
    return lines


def main() -> None:
    """A table of all steps, or of those asked for."""
    steps = [name for name in sorted(all_cases()) if name.endswith("_step")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=steps, help="only this step; may be repeated")
    parser.add_argument("--share", action="append", type=float, help="of the memory without a limit; may be repeated")
    asked = parser.parse_args()
    print(f"{'step':14}{'limit':>7}{'held MB':>10}{'share':>7}{'step time':>11}{'compiled s':>12}")
    for name in asked.case or steps:
        print("\n".join(rows(name, asked.share or list(SHARES))), flush=True)


if __name__ == "__main__":
    main()
