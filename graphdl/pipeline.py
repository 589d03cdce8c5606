"""Passes in order, and the record of what each of them did."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from .budget import Budget
from .declaration import Declared
from .errors import CompileError
from .ir import Graph, rewriting
from .program import CompiledGraph
from .record import record
from .rewrite.regions import everywhere

PASSES: dict[str, type[Pass]] = {}
PHASES = ("specialise", "simplify", "fuse", "plan")


class Pass:
    """A rewriting of graphs: a record with a name, a phase and `run`. Defining one registers it.

    Passes of one phase run in the order of `rank`, then name. A pass with `modes` runs only when compiling for one of them. Those of the
    phase "plan" keep what a compilation promises, whichever passes are asked for.
    """

    name: ClassVar[str]
    phase: ClassVar[str]
    rank: ClassVar[int] = 50
    modes: ClassVar[tuple[str, ...]] = ("train", "inference")
    enters_bodies: ClassVar[bool] = True  # it rewrites bodies of loops and branches as well

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        PASSES[cls.name] = cls

    def fitted(self, request: Compilation) -> Pass | None:
        """The pass as a compilation needs it, None if it has nothing to do there."""
        return self

    def run(self, graph: Graph) -> Graph:
        """The rewritten graph, with as many outputs, equal in value."""
        raise NotImplementedError


@record
class Change:
    """What one pass did: numbers of nodes before and after, and its time in seconds."""

    name: str
    before: int
    after: int
    seconds: float
    fired: bool


@dataclass
class Record:
    """What a pipeline did, pass by pass; `graphs` holds the result of each pass that changed something."""

    changes: list[Change] = field(default_factory=list)
    graphs: dict[str, Graph] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [f"{c.name:<16} {c.before:>6} -> {c.after:<6} {c.seconds * 1e3:8.2f} ms" + ("" if c.fired else "  (nothing)") for c in self.changes]
        return "\n".join(rows)


def selected(names: str | Sequence[str], mode: str) -> list[Pass]:
    """The passes to run: "default" for all, "none", or names. Raises CompileError for unknown ones."""
    _discover()
    if isinstance(names, str):
        if names not in ("default", "none"):
            raise CompileError(f'passes={names!r}: give "default", "none" or a list of {", ".join(sorted(PASSES))}')
        names = tuple(PASSES) if names == "default" else tuple(name for name, kind in PASSES.items() if kind.phase == "specialise")
    names = tuple(dict.fromkeys((*names, *(name for name, kind in PASSES.items() if kind.phase == "plan"))))
    unknown = [name for name in names if name not in PASSES]
    if unknown:
        raise CompileError(f"unknown passes {', '.join(unknown)}; there are {', '.join(sorted(PASSES))}")
    kinds = sorted((PASSES[name] for name in names), key=lambda kind: (PHASES.index(kind.phase), kind.rank, kind.name))
    return [kind() for kind in kinds if mode in kind.modes]


def run_passes(graph: Graph, passes: Sequence[Pass], *, verify: bool = False) -> tuple[Graph, Record]:
    """Run `passes` in order. With `verify`, every result is verified by the type rules."""
    record = Record()
    for one in passes:
        started = time.perf_counter()
        with rewriting():
            result = everywhere(one.run, graph, one.name) if one.enters_bodies else one.run(graph)
        fired = any(new is not old for new, old in zip(result.outputs, graph.outputs, strict=True))
        record.changes.append(Change(one.name, len(graph.nodes), len(result.nodes), time.perf_counter() - started, fired))
        if fired:
            record.graphs[one.name] = result
        if verify:
            result.verify()
        graph = result
    return graph, record


def _discover() -> None:
    package = importlib.import_module("graphdl.passes")
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"graphdl.passes.{info.name}")


class Compilation:
    """One request to compile: the declared graph, and the rewritten one, made when it is first needed.

    A backend that finds its code in a cache under the declared graph never asks for the rewritten one. `reserve` is what a backend's kernels
    need for themselves of the `budget`, in bytes, as far as that is known. With `tuned`, schedules are measured, at these symbolic sizes. If
    `frozen`, parameters are promised to stay as they are.
    """

    def __init__(
        self, declared: Declared, passes: str | Sequence[str], mode: str, budget: Budget | None = None, tuned: Mapping[str, int] | None = None,
        *, frozen: bool = False,
    ) -> None:  # fmt: skip
        self.declared = declared
        self.signature = declared.signature
        self.passes = passes
        self.mode = mode
        self.budget = budget
        self.tuned = tuned
        self.frozen = frozen
        self.reserve = 0
        if passes != "default":
            selected(passes, mode)  # raises for unknown names before anything else happens

    def again(self) -> Compilation:
        """The same request, with nothing done yet."""
        return Compilation(self.declared, self.passes, self.mode, self.budget, self.tuned, frozen=self.frozen)

    def keep(self, reserve: int) -> None:
        """Begin anew if more bytes of the budget must be kept for what kernels need for themselves."""
        if reserve > self.reserve:
            self.reserve = reserve
            self.__dict__.pop("_rewritten", None)
            self.__dict__.pop("compiled", None)

    @property
    def source(self) -> Graph:
        """The declared graph."""
        return self.declared.graph

    @cached_property
    def _rewritten(self) -> tuple[Graph, Record]:
        fitted = (one.fitted(self) for one in selected(self.passes, self.mode))
        return run_passes(self.source, [one for one in fitted if one is not None])

    @property
    def record(self) -> Record:
        """What each pass did."""
        return self._rewritten[1]

    @cached_property
    def compiled(self) -> CompiledGraph:
        """The rewritten graph with the declared inputs."""
        graph = Graph(self._rewritten[0].outputs, self.signature.inputs)
        return CompiledGraph(graph, self.signature, self.declared.visible, self.declared.updated)

    @cached_property
    def fingerprint(self) -> str:
        """A text that says all on which the code depends, except backend and target."""
        wanted = self.passes if isinstance(self.passes, str) else ",".join(self.passes)
        place = {tensor: position for position, tensor in enumerate(self.declared.parameters)}
        places = [place[tensor] for tensor in self.declared.updated]
        asked = "".join(f"\n{one}" for one in (self.budget, self.tuned) if one is not None)
        asked += "\nfrozen" if self.frozen else ""
        return f"{self.source}\n{self.declared.visible} {places}\n{self.mode} {wanted}{asked}"
