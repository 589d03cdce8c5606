"""What a run of graphdl's asks of the machine."""

from __future__ import annotations

from functools import partial
from typing import Any

from .case import Run


def work(run: Run) -> tuple[int, int]:
    """The operations that its kernels compute and the bytes that each must read and write; zeros where it is not one call of a program."""
    if not isinstance(run, partial):
        return 0, 0
    program: Any = run.func
    profile = program.profile(*run.args, repeat=1)
    return profile.flops, profile.bytes
