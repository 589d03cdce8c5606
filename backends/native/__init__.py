"""The native backend: schedules kernels for a target and emits LLVM IR for them."""

from __future__ import annotations

from graphdl.errors import CompileError
from graphdl.pipeline import Compilation
from graphdl.program import Runner

from .executable import NativeProgram

CHECKS = ("nonfinite",)


def build(compilation: Compilation, *, threads: int, single: bool, check: str | None = None) -> Runner:
    """Native code for a graph, plain or watched. Raises CompileError for an unknown check."""
    if check is None:
        return NativeProgram(compilation, threads=threads, single=single)
    if check not in CHECKS:
        raise CompileError(f"check is one of {', '.join(CHECKS)}, not {check!r}")
    from .nonfinite import CheckedProgram

    return CheckedProgram(compilation, threads=threads, single=single)


__all__ = ["build"]
