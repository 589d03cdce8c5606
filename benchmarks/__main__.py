"""`python -m benchmarks`: measure, print, and write benchmarks/results/.

python -m benchmarks --case softmax --case mlp_step --size rows=4096 --threads 1,2
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from graphdl.backends.native.runtime.peak import measure_peaks
from graphdl.backends.native.target import host

from .case import FRAMEWORKS, all_cases
from .drawing import plot
from .imports import import_times
from .report import COLUMNS, Limits, markdown, rows_of
from .suite import Comparison, compare, is_installed
from .threads import thread_count

RESULTS = Path(__file__).parent / "results"


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="graphdl beside PyTorch, JAX and ONNX Runtime.")
    parser.add_argument("--case", action="append", choices=sorted(all_cases()), help="measure only this case; may be repeated")
    parser.add_argument("--framework", action="append", choices=list(FRAMEWORKS), help="measure only this one, besides graphdl; may be repeated")
    parser.add_argument("--size", action="append", default=[], metavar="NAME=N", help="another size, for every case that has it; may be repeated")
    parser.add_argument("--no-variants", action="store_true", help="only the first size of each case")
    parser.add_argument("--threads", default=str(thread_count()), help="a number, or several with commas (default: all cores)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every framework")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--name", default="results", help="the files written are results/NAME.md and results/NAME.svg")
    return parser.parse_args()


def main() -> None:
    """Measure what is asked for."""
    asked = options()
    changes = {name: int(size) for name, _, size in (one.partition("=") for one in asked.size)}
    frameworks = ["graphdl", *(name for name in asked.framework or FRAMEWORKS if name != "graphdl")]
    for name in frameworks:
        if not is_installed(name):
            print(f"{name}: not installed, left out", file=sys.stderr)
    threads = [int(count) for count in asked.threads.split(",")]
    limits: Limits = {}
    for count in threads:
        peaks = measure_peaks(host(), count)
        limits |= {("fma", count): peaks.fma_flops_f32, ("copy", count): peaks.copy_bytes_per_second}
    found: list[Comparison] = []
    print(" | ".join(COLUMNS))
    for case in [all_cases()[name] for name in asked.case or sorted(all_cases())]:
        for sizes in case.all_sizes(changes)[: 1 if asked.no_variants else None]:
            for count in threads:
                found.append(compare(case, sizes, count, frameworks, asked.rounds, asked.seconds))
                print("\n".join(" | ".join(row) for row in rows_of(found[-1], limits)), flush=True)
    RESULTS.mkdir(exist_ok=True)
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    (RESULTS / f"{asked.name}.md").write_text(markdown(found, limits, command) + "\n".join(["", *import_times(frameworks), ""]))
    plot(found, limits, RESULTS / f"{asked.name}.svg")


if __name__ == "__main__":
    main()
