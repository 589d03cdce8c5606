"""The machine's side of the explorer: every launch of a kernel with its cost, its time, its LLVM IR and its assembly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Any

from ..backends.native.codegen.program import emit_program
from ..backends.native.kernels import describe
from ..backends.native.making import input_specs
from ..backends.native.runtime.jit import assembly
from ..backends.native.target import host
from ..ir import Node, Source
from ..lowering import lower_graph
from ..pipeline import Compilation
from ..record import record
from ..table import quantity, seconds

LONGEST = 120_000  # characters of one function's text
_FUNCTION = re.compile(r"^(?:_)?([A-Za-z_$.][\w$.]*):", re.MULTILINE)


@record
class Launched:
    """One launch."""

    name: str
    function: str
    facts: dict[str, str]
    nodes: tuple[Node, ...]
    sources: frozenset[Source]

    def data(self, members: list[int], sources: list[int]) -> list[Any]:
        """As a list, in the order that the page's script names."""
        return [self.name, self.function, self.facts, members, sources]


@record
class Machine:
    """All launches in order, the text of their functions, and facts of the whole program."""

    kernels: list[Launched]
    functions: dict[str, Any] = field(default_factory=dict)
    total: dict[str, str] = field(default_factory=dict)


def machine_of(compilation: Compilation, profile: Any = None, code: bool = True) -> Machine:
    """Emit what would be compiled. `profile` adds the measured times. Raises CompileError or BackendError."""
    program = lower_graph(compilation.compiled)
    emitted = emit_program(program, host(), input_specs(compilation.signature)[1])
    found = describe(emitted.launches)
    rows: Sequence[Any] = profile.rows if profile is not None else [None] * len(found)
    kernels = []
    for kernel, row in zip(found, rows, strict=True):
        facts = {"flops": str(kernel.flops), "bytes": str(kernel.bytes), "tasks": str(kernel.tasks)} | _measured(row, profile)
        nodes = kernel.origins if kernel.node is None else (kernel.node,)
        known = [node.provenance for node in nodes]
        kernels.append(Launched(kernel.name, kernel.function, facts, nodes, frozenset(one for each in known for one in each.sources)))
    total = {"flops": str(sum((one.flops for one in found), 0)), "memory between kernels": _cut(f"{emitted.plan.total} bytes", 300)}
    if profile is not None:
        total |= {"kernels": seconds(profile.total), "whole call": seconds(profile.call)}
    return Machine(kernels, _functions(emitted.module, {one.function for one in found}) if code else {}, total)


def _measured(row: Any, profile: Any) -> dict[str, str]:
    """The times of a launch that ran."""
    if row is None or not row.tasks:
        return {}
    time = row.seconds or 1e-9
    return {
        "time": seconds(row.seconds),
        "share": f"{row.seconds / (profile.total or 1):.1%}",
        "of the limit": f"{profile.share(row):.0%}",
        "rate": f"{quantity(row.flops / time, 'FLOP/s')}, {quantity(row.bytes / time, 'B/s')}",
    }


def _functions(module: Any, names: Iterable[str]) -> dict[str, list[str]]:
    """LLVM IR and assembly of every function."""
    wanted = sorted(names)
    machine_code = _split(assembly(str(module), host()))
    return {name: [_cut(str(module.functions[name])), _cut(machine_code.get(name, ""))] for name in wanted if name in module.functions}


def _split(text: str) -> dict[str, str]:
    """Assembly by its global labels."""
    marks = [match for match in _FUNCTION.finditer(text) if not match[1].startswith((".L", "L"))]
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return {mark[1]: text[mark.start() : end].rstrip() for mark, end in zip(marks, ends, strict=True)}


def _cut(text: str, longest: int = LONGEST) -> str:
    if len(text) <= longest:
        return text
    lines = text.count("\n", longest)
    return f"{text[:longest]}…" + (f"\n{lines} more lines" if lines else "")
