"""From a declared graph to something that runs: the one file that knows both passes and backends."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from .budget import Budget, check_sizes
from .collection import paused_collection
from .constraints import collect, unify
from .declaration import Declaration
from .errors import CompileError, FormatError, GraphdlError
from .ir import Graph, Tensor, as_tensor, derived
from .ops.elementwise import describe
from .pipeline import Compilation, Record
from .record import record
from .threads import usable_cores

if TYPE_CHECKING:
    from .stored import StoredProgram

Array = np.ndarray[Any, Any]
MODES = ("train", "inference")


@record
class Options:
    """How a compilation is made to run: the backend, the threads asked for, what is watched, and whether one array comes back or a tuple."""

    backend: str = "native"
    threads: int | None = None
    check: str | None = None
    single: bool = False

    def __post_init__(self) -> None:
        if self.backend not in backends():
            raise CompileError(f"backend is one of {', '.join(backends())}, not {self.backend!r}")
        if self.threads is not None and (not isinstance(self.threads, int) or self.threads < 1):  # type: ignore[redundant-expr]  # callers may check no types
            raise CompileError(f"threads must be a number, at least 1, not {self.threads!r}")


class Executable:
    """A compiled program. Call it with arrays, by position or by name; `inputs` are the placeholders in order.

    It pickles as its declared graph with the present values of its parameters: a copy, here or in another process, is compiled there, or found
    in the cache, and has parameters of its own.
    """

    def __init__(self, compilation: Compilation, runner: Any, options: Options) -> None:
        self.compilation = compilation
        self.inputs = compilation.signature.inputs
        self.options = options
        self._signature = compilation.signature
        self._runner = runner
        self._fast: Callable[..., Any] = runner.bind(self._call) if hasattr(runner, "bind") else self._call

    @property
    def source(self) -> Graph:
        """The graph as declared."""
        return self.compilation.source

    @property
    def graph(self) -> Graph:
        """The graph after all passes: what runs."""
        return self.compilation.compiled.graph

    @property
    def record(self) -> Record:
        """What each pass did."""
        return self.compilation.record

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        """One array for a single output, a tuple for a list of outputs. Raises CallError or ShapeError for unfit inputs."""
        return self._fast(*arrays, **named)

    def _call(self, *arrays: Any, **named: Any) -> Any:
        results = self._runner.run(self._signature.gather(arrays, named))
        return results[0] if self.options.single else tuple(results)

    def __reduce__(self) -> tuple[Callable[[bytes], Executable], tuple[bytes]]:
        from .stored import write_program

        return restore, (write_program(self.compilation, asdict(self.options)),)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return getattr(self._runner, name)
        except AttributeError:
            raise AttributeError(f"a program of this backend has no {name!r}") from None

    def __repr__(self) -> str:
        return f"<Executable of {', '.join(f'{t.name}: {t.type}' for t in self.inputs)}: {len(self.source.nodes)} nodes>"


def compile(
    outputs: Tensor | Iterable[Tensor],
    inputs: Sequence[Tensor] | None = None,
    *,
    updates: Mapping[Tensor, Tensor] | None = None,
    backend: str = "native",
    threads: int | None = None,
    mode: str = "train",
    passes: str | Sequence[str] = "default",
    check: str | None = None,
    memory_limit: str | int | None = None,
    sizes: Mapping[str, int] | None = None,
    autotune: bool | None = None,
    frozen: bool = False,
) -> Executable:
    """Compile `outputs` as a function of `inputs` (all placeholders in order of first use, unless given).

    `updates` maps parameters to their new values, written in place at the end of every call. `backend` is "native" or
    "numpy"; `threads` defaults to the number of usable cores; `mode` is "train" or "inference" (no dropout, no updates
    of random state); `passes` is "default", "none" or a list of names.

    With a `memory_limit` ("512 MiB" or bytes), what a call holds at most (`gd.cost(f).peak_memory`) stays below it: values that the backward pass
    reads are computed again instead of being held, as few as will do, and results are the same bits. Where sizes are symbolic, `sizes` names
    the largest that will be called with, as {"N": 64}; a call that would take more than the limit raises MemoryLimitError.

    With `autotune`, a few ways to cut every product of matrices are measured, at `sizes` where those are symbolic, and the fastest is kept on disk
    for the next time; none of them changes a bit of any result. Unless given, the environment variable GRAPHDL_AUTOTUNE=1 asks for it.

    With `frozen`, parameters are promised to stay as they are while the program is used, and what depends on them alone, such as weights packed
    for products, is computed once, here, and kept beside them. After a parameter has changed, compile again: the code is found in the cache.
    Raises CompileError for unknown options, unfit updates, those of a frozen program, and placeholders that are not listed, and MemoryLimitError
    where a limit is too low.
    """
    options = Options(backend, threads, check, isinstance(outputs, Tensor))
    with paused_collection():
        compilation = prepare(outputs, inputs, updates=updates, mode=mode, passes=passes, frozen=frozen)
        is_tuned = os.environ.get("GRAPHDL_AUTOTUNE", "") not in ("", "0") if autotune is None else autotune
        return assemble(_sized(compilation, memory_limit, sizes, is_tuned), options)


def assemble(compilation: Compilation, options: Options, code: Sequence[bytes] = ()) -> Executable:
    """The program of a compilation, from `code` that a backend has packed where that fits this machine, else compiled.

    Raises CompileError, BackendError, and FormatError for damaged code.
    """
    build = importlib.import_module(f"graphdl.backends.{options.backend}").build
    runner = build(compilation, threads=options.threads or usable_cores(), single=options.single, check=options.check, code=code)
    return Executable(compilation, runner, options)


def restore(image: bytes) -> Executable:
    """The program that `pickle` has written, compiled for this machine or found in its cache. Raises FormatError for damaged bytes."""
    from .stored import read_program

    stored = read_program(image)
    return assemble(stored.compilation, options_of(stored))


def options_of(stored: StoredProgram) -> Options:
    """The options that a stored program was written with. Raises FormatError."""
    given = stored.options
    fitting = {"backend": str, "threads": int | None, "check": str | None, "single": bool}
    if given.keys() != fitting.keys() or not all(isinstance(given[name], kind) for name, kind in fitting.items()):
        raise FormatError("the options of the stored program are not those of this version")
    try:
        return Options(**given)
    except CompileError as error:
        raise FormatError(f"the options of the stored program do not fit: {error}") from None


def prepare(
    outputs: Tensor | Iterable[Tensor],
    inputs: Sequence[Tensor] | None = None,
    *,
    updates: Mapping[Tensor, Tensor] | None = None,
    mode: str = "train",
    passes: str | Sequence[str] = "default",
    frozen: bool = False,
) -> Compilation:
    """What `compile` hands to a backend."""
    ends = [outputs] if isinstance(outputs, Tensor) else [as_tensor(tensor) for tensor in outputs]
    if mode not in MODES:
        raise CompileError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
    changes = _checked_updates(dict(updates or {}))
    if frozen and changes:
        raise CompileError(f"a frozen program changes no parameters, but {describe(next(iter(changes)))} would be updated; leave out frozen=True")
    source = Graph([*ends, *changes.values()])
    if mode == "train" and (random := _random_updates(source, changes)):
        changes |= random
        source = Graph([*ends, *changes.values()])
    source = source if inputs is None else source.taking(inputs)
    return Compilation(Declaration(source, len(ends), tuple(changes)), passes, mode, frozen=frozen)


def _sized(compilation: Compilation, limit: str | int | None, sizes: Mapping[str, int] | None, is_tuned: bool) -> Compilation:
    """The compilation under a memory limit or with tuning, if that is asked for. Raises CompileError."""
    if limit is None and not is_tuned:
        if sizes is not None:
            raise CompileError("sizes are for a memory_limit or autotune=True, and neither is given")
        return compilation
    known = check_sizes(sizes or {}, compilation.signature)
    budget = None if limit is None else Budget.of(limit, known, compilation.signature)
    tuned = known if is_tuned else None
    return Compilation(compilation.declared, compilation.passes, compilation.mode, budget, tuned, frozen=compilation.frozen)


@functools.cache
def backends() -> tuple[str, ...]:
    """The names of the backends: the folders of `graphdl.backends`, each of which exports `build`."""
    package = importlib.import_module("graphdl.backends")
    return tuple(info.name for info in pkgutil.iter_modules(package.__path__) if info.ispkg)


def _checked_updates(updates: dict[Any, Any]) -> dict[Tensor, Tensor]:
    for parameter, value in updates.items():
        if not isinstance(parameter, Tensor) or not parameter.node.op.is_parameter:
            raise CompileError(f"updates: {describe(parameter)} is no parameter")
        if not isinstance(value, Tensor) or value.dtype != parameter.dtype or len(value.shape) != len(parameter.shape):
            raise CompileError(f"updates: the new value {describe(value)} does not fit {describe(parameter)}")
        try:
            with collect():
                for own, new in zip(parameter.shape, value.shape, strict=True):
                    unify(own, new, "update")
        except GraphdlError as error:
            raise CompileError(f"updates: the new value {describe(value)} does not fit {describe(parameter)}: {error}") from None
    return updates


def _random_updates(graph: Graph, updates: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
    """Every random state that is read goes on by one step at each call, unless the user updates it."""
    states = [tensor for tensor in graph.parameters if getattr(tensor.node.op, "label", None) == "random.state" and tensor not in updates]
    found = {}
    for state in states:
        with derived("random step", (), (state.node, *graph.users[state.node])):
            found[state] = state + np.array([0, 1])
    return found
