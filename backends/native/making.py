"""From a compilation to code for some target: what of it is emitted, and the bundle of objects that comes of that."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from graphdl.pipeline import Compilation
from graphdl.signature import Signature
from graphdl.sizes import Dim, SymbolAtom, as_size, evaluate
from graphdl.types import numpy_dtype

from .bundle import Bundle
from .runtime.cache import default_cache, key_of, sources_digest
from .runtime.jit import linked
from .runtime.signature import ArraySpec, Size
from .target import Target

if TYPE_CHECKING:
    from graphdl.ir import Tensor
    from graphdl.kernel.expression import Buffer
    from graphdl.kernel.program import Program

    from .codegen.program import Emitted
    from .contraction import Chooser
    from .llvm import Module


class Making:
    """A compilation on its way to code for `target`. Code generation is imported only when something must be emitted."""

    check: ClassVar[str] = ""  # what a subclass watches for; part of the key under which code is found

    def __init__(self, compilation: Compilation, target: Target, threads: int = 1) -> None:
        self.compilation = compilation
        self.threads = threads  # on which it will run; schedules are measured on as many
        self.target = target
        self.inputs, self.size_names, self.equalities = input_specs(compilation.signature)
        self._written: Callable[[Module], None] = _unheard

    @cached_property
    def program(self) -> Program:
        """The program in the kernel language."""
        from graphdl.lowering import lower_graph

        return lower_graph(self.compilation.compiled)

    def emit(self, written: Callable[[Module], None]) -> Emitted:
        """The program's functions and its entry; `written` hears of the module whenever functions were added."""
        from .codegen.program import emit_program

        return emit_program(self.program, self.target, self.size_names, written=written, choose=self.chooser, frozen=self.compilation.frozen)

    @cached_property
    def chooser(self) -> Chooser:
        """Who cuts the products: the cost model, or measurements."""
        from .contraction import modelled
        from .tuning import Tuner

        sizes = self.compilation.tuned
        return modelled if sizes is None else Tuner(self.threads, sizes)

    @cached_property
    def emitted(self) -> Emitted:
        """The module and its launches."""
        from .codegen.shapes import write_shapes

        emitted = self._planned()
        self._derived: list[Dim] = []
        self._outputs = [[b.name, b.type.dtype, [self._size(size) for size in b.type.shape]] for b in self.program.outputs]
        write_shapes(emitted, self.size_names, self._derived, self.equalities, self._limit(emitted))
        return emitted

    def _planned(self) -> Emitted:
        """What is emitted once its plan, with what kernels need for themselves, keeps to the memory limit. Raises MemoryLimitError."""
        compilation, budget = self.compilation, self.compilation.budget
        if budget is None:
            return self.emit(self._written)
        emitted = self.emit(_unheard)  # what is written may be given up
        while (excess := evaluate(self._memory(emitted), dict(budget.sizes)) - budget.limit) > 0:
            compilation.keep(compilation.reserve + excess + excess // 4)
            del self.program
            emitted = self.emit(_unheard)
        return emitted

    def _memory(self, emitted: Emitted) -> Dim:
        """The bytes that a call holds."""
        from graphdl.lowering.memory import held_bytes

        return held_bytes(self.program) + emitted.plan.total + sum(emitted.settled.sizes.values())

    def _limit(self, emitted: Emitted) -> tuple[Dim, int] | None:
        """The memory that a call must compare with its limit: none where it is the same for all calls."""
        budget = self.compilation.budget
        return (self._memory(emitted), budget.limit) if budget is not None and budget.sizes else None

    def bundle(self, threads: int) -> Bundle:
        """The code, found in the cache under the declared graph, else made on so many threads. Raises BackendError."""
        tuned = f"on {self.threads}" if self.compilation.tuned is not None else ""
        key = key_of("program", self.check, self.compilation.fingerprint, tuned, sources_digest(), target=self.target)
        found = Bundle.found(default_cache().get(key))
        if found is None:
            found = self._make(threads)
            default_cache().put(key, found.to_bytes())
        self.compilation.keep(found.facts["reserve"])
        return found

    def _make(self, threads: int) -> Bundle:
        from .turns import short_turns
        from .units import Units

        with short_turns(), Units(self.target, default_cache(), threads) as units:
            self._written = units.begin
            emitted = self.emitted
            objects = linked(units.finish(emitted.module))
        constants: list[bytes] = []
        facts = {
            "objects": len(objects),
            "static": [self._static(buffer, constants) for buffer in emitted.static],
            "outputs": self._outputs,
            "derived": len(self._derived),
            "sites": emitted.sites,
            "reserve": self.compilation.reserve,
        }
        return Bundle(facts, (*objects, *constants))

    def _size(self, size: Dim) -> int | str | list[int]:
        """An output's size for JSON: a number, the name of an input's size, or the slot of a derived one in a list."""
        if isinstance(size, int) or str(size) in self.size_names:
            return size if isinstance(size, int) else str(size)
        if size not in self._derived:
            self._derived.append(size)
        return [self._derived.index(size)]

    @cached_property
    def _places(self) -> dict[Tensor, int]:
        return {tensor: position for position, tensor in enumerate(self.compilation.declared.parameters)}

    def _static(self, buffer: Buffer, constants: list[bytes]) -> list[Any]:
        """Where the memory of a parameter or constant is found again, by its place in the declaration's state or as bytes; how much else is needed."""
        if buffer in self.emitted.settled.sizes:
            return ["settled", self.emitted.settled.sizes[buffer]]
        if buffer.kind == "parameter":
            return ["parameter", self._places[buffer.source]]
        constants.append(np.ascontiguousarray(buffer.source.value).tobytes())
        return ["constant", len(constants) - 1, buffer.type.dtype, list(buffer.type.shape)]


def _unheard(module: Module) -> None:
    """Nobody waits for functions before all are written."""


def input_specs(signature: Signature) -> tuple[tuple[ArraySpec, ...], list[str], list[tuple[Dim, Dim, str]]]:
    """The inputs, the names of the sizes a call gives, and the equalities that a call must keep.

    An axis whose size is an expression gets a name of its own, and an equality.
    """
    equalities = list(signature.equalities)
    specs = []
    names: dict[str, None] = {}
    for name, type in zip(signature.names, signature.types, strict=True):
        shape: list[Size] = []
        for axis, size in enumerate(type.shape):
            own = size if isinstance(size, int) else str(size) if str(size) in signature.symbols else f"{name}.{axis}"
            shape.append(own)
            if isinstance(own, int):
                continue
            if own not in signature.symbols:
                equalities.append((as_size(SymbolAtom(own)), size, f"axis {axis} of input {name!r}"))
            names[own] = None
        specs.append(ArraySpec(name, numpy_dtype(type.dtype), tuple(shape)))
    return tuple(specs), list(names), equalities
