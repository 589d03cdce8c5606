"""The same number of threads for every framework: so many processors, and a pool as large."""

from __future__ import annotations

import os


def thread_count() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def limit_threads(count: int) -> None:
    """Keep this process and its pools to `count` processors. Must come before a framework is imported."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(count)
