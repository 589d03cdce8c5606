"""The native backend: schedules kernels for a target and emits LLVM IR for them."""

from __future__ import annotations

from collections.abc import Sequence

from graphdl.errors import CompileError
from graphdl.pipeline import Compilation
from graphdl.program import Runner

from .executable import NativeProgram

CHECKS = ("nonfinite",)


def build(compilation: Compilation, *, threads: int, single: bool, check: str | None = None, code: Sequence[bytes] = ()) -> Runner:
    """Native code for a graph, plain or watched: what fits this machine of `code`, which `pack` has made, else made anew.

    Raises CompileError for an unknown check and FormatError for damaged code.
    """
    program = _kind(check)
    if code:
        from .packing import choose

        if found := choose(code, program.making.check):
            bundle, target = found
            return program(compilation, threads=threads, single=single, bundle=bundle, target=target)
    return program(compilation, threads=threads, single=single)


def pack(compilation: Compilation, targets: Sequence[str], *, threads: int, check: str | None = None) -> list[bytes]:
    """Code for every target ("host", a family, an LLVM triple, "family@triple"). Raises BackendError for an unknown one."""
    from .packing import pack

    return pack(_kind(check).making, compilation, targets, threads)


def _kind(check: str | None) -> type[NativeProgram]:
    if check is None:
        return NativeProgram
    if check not in CHECKS:
        raise CompileError(f"check is one of {', '.join(CHECKS)}, not {check!r}")
    from .nonfinite import CheckedProgram

    return CheckedProgram


__all__ = ["build", "pack"]
