"""How long it takes to import each framework, in a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence

from .case import FRAMEWORKS
from .suite import is_installed

ROUNDS = 3
CODE = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_times(frameworks: Sequence[str]) -> list[str]:
    """A line for every module: the median of several imports, taken in turn."""
    modules = list(dict.fromkeys(FRAMEWORKS[name] for name in frameworks if is_installed(name)))
    seconds: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(ROUNDS):
        for module in modules:
            ran = subprocess.run([sys.executable, "-c", CODE.format(module)], capture_output=True, text=True, check=True)
            seconds[module].append(float(ran.stdout))
    return [f"- `import {module}`: {1000 * statistics.median(times):.0f} ms" for module, times in seconds.items()]
