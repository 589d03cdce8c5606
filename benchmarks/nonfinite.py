"""How much longer the suite's programs take when they are compiled with check="nonfinite", in turns in one process.

python -m benchmarks.nonfinite --case gpt_step --rounds 9
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import graphdl as gd

from .case import Case, Run, Sizes, all_cases

SECONDS = 0.1  # that one turn lasts at least


@contextmanager
def checking() -> Iterator[None]:
    """Programs compiled inside watch for NaN and infinity."""
    plain = gd.compile
    gd.compile = partial(plain, check="nonfinite")
    try:
        yield
    finally:
        gd.compile = plain


def builds(case: Case, sizes: Sizes) -> tuple[Run, Run]:
    """The program as it is, and watched."""
    plain = case.build["graphdl"](sizes)
    with checking():
        return plain, case.build["graphdl"](sizes)


def turn(run: Run) -> float:
    """Seconds of a run in the mean of one turn."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        run()
        count += 1
    return (time.perf_counter() - start) / count


def main() -> None:
    """A line for each case: the median ratio of neighbouring turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=sorted(all_cases()), help="only this case; may be repeated")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    print(f"{'case':26}{'plain ms':>10}{'checked ms':>12}{'ratio':>8}")
    for name in asked.case or sorted(all_cases()):
        case = all_cases()[name]
        runs = builds(case, case.sizes)
        turns = [(turn(runs[0]), turn(runs[1])) for _ in range(asked.rounds)]
        ratio = statistics.median(checked / plain for plain, checked in turns)
        print(f"{name:26}{1e3 * min(a for a, _ in turns):10.3f}{1e3 * min(b for _, b in turns):12.3f}{ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
