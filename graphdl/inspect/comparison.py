"""How two compilations differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..compiler import Executable
from ..record import record
from ..table import Table, seconds
from .costs import Cost, cost

BUDGET = 0.3  # seconds of calls of each program


@record
class Comparison:
    """Two programs side by side: `rows` hold (what, first, second), and `differences` those where the two are not the same.

    `costs` are those of the first and of the second; `times` their seconds a call, or None if no inputs were given.
    """

    rows: tuple[tuple[str, str, str], ...]
    costs: tuple[Cost, Cost]
    times: tuple[float, float] | None

    @property
    def differences(self) -> tuple[tuple[str, str, str], ...]:
        return tuple(row for row in self.rows if row[1] != row[2])

    @property
    def table(self) -> Table:
        rows = tuple((name, first, "=" if first == second else second) for name, first, second in self.rows)
        return Table(f"{len(self.differences)} of {len(self.rows)} differ", ("", "first", "second"), rows, ("first", "second"))

    def __str__(self) -> str:
        return self.table.text()

    def _repr_html_(self) -> str:
        return self.table.html()


def compare(first: Executable, second: Executable, *inputs: Any, **named: Any) -> Comparison:
    """Passes that fired, nodes, kernels, operations, bytes and memory of two compiled programs; with inputs, times as well.

    Timing runs the programs, with whatever they update.
    """
    both = first, second
    costs = cost(first), cost(second)
    found = [*_passes(both), *_sizes(both, costs)]
    times = (_time(first, inputs, named), _time(second, inputs, named)) if inputs or named else None
    if times:
        found.append(("time of a call", seconds(times[0]), seconds(times[1])))
    return Comparison(tuple(found), costs, times)


def _passes(both: Sequence[Executable]) -> Iterable[tuple[str, str, str]]:
    ran = [{change.name: change for change in program.record.changes} for program in both]
    for name in dict.fromkeys(name for changes in ran for name in changes):
        told = [_tell(changes[name]) if name in changes else "not run" for changes in ran]
        yield f"pass {name}", told[0], told[1]


def _tell(change: Any) -> str:
    return f"{change.before} -> {change.after} nodes" if change.fired else "nothing to do"


def _sizes(both: Sequence[Executable], costs: tuple[Cost, Cost]) -> Iterable[tuple[str, str, str]]:
    amounts: dict[str, Callable[[Executable, Cost], object]] = {
        "mode": lambda program, cost: program.compilation.mode,
        "declared nodes": lambda program, cost: len(program.source.nodes),
        "nodes": lambda program, cost: len(program.graph.nodes),
        "kernels": lambda program, cost: len({kernel.function for kernel in cost.kernels}),
        "launches": lambda program, cost: len(cost.kernels),
        "flops": lambda program, cost: cost.flops,
        "bytes moved": lambda program, cost: cost.bytes,
        "bytes between kernels": lambda program, cost: cost.arena,
        "peak memory": lambda program, cost: cost.peak_memory,
    }
    for name, amount in amounts.items():
        told = [str(amount(program, one)) for program, one in zip(both, costs, strict=True)]
        yield name, told[0], told[1]
    names = [[kernel.name for kernel in one.kernels] for one in costs]
    missing = [sorted({name for name in mine if name not in other}) for mine, other in (names, names[::-1])]
    yield "kernels only here", ", ".join(missing[0]) or "none", ", ".join(missing[1]) or "none"


def _time(program: Executable, inputs: Sequence[Any], named: dict[str, Any]) -> float:
    """The least seconds of a call."""
    program(*inputs, **named)
    best, end = float("inf"), time.perf_counter() + BUDGET
    while time.perf_counter() < end:
        begin = time.perf_counter()
        program(*inputs, **named)
        best = min(best, time.perf_counter() - begin)
    return best
