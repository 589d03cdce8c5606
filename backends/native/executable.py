"""A compiled graph as native code in this process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from graphdl.budget import Budget
from graphdl.errors import FormatError, IndexOutOfRangeError, MemoryLimitError, ShapeError
from graphdl.memory import aligned_empty
from graphdl.pipeline import Compilation
from graphdl.types import numpy_dtype

from .bundle import Bundle
from .making import Making
from .runtime import jit
from .runtime.call import NativeCall
from .runtime.pool import pool_address
from .runtime.signature import ArraySpec, Derived, Signature
from .status import BROKEN_EQUALITY, OVER_LIMIT
from .target import Target, host

if TYPE_CHECKING:
    from graphdl.kernel.program import Program

    from .codegen.program import Emitted
    from .kernels import Kernels
    from .report import Profile

Array = np.ndarray[Any, Any]


class NativeProgram:
    """Native code for a graph, loaded and ready.

    Code is looked up by the declared graph: if this machine has compiled it before, no pass runs and nothing is emitted. A `bundle` that
    was made elsewhere, for a `target` whose code runs here, takes the place of all that.
    """

    making: ClassVar[type[Making]] = Making

    def __init__(self, compilation: Compilation, *, threads: int, single: bool, bundle: Bundle | None = None, target: Target | None = None) -> None:
        self.compilation = compilation
        self.target = target or host()
        self._made = self.making(compilation, self.target, threads)
        self.size_names = self._made.size_names
        self.is_brought = bundle is not None
        self._bundle = bundle or self._made.bundle(threads)
        facts = self._bundle.facts
        self.objects = self._bundle.objects
        self._loaded = jit.load_objects(self.objects)
        state = compilation.declared.state
        held = [self._memory(entry, state) for entry in facts["static"]]
        address = self._loaded.address
        self.signature = Signature(
            entry=address("entry"),
            gather=compilation.signature.accept,
            inputs=self._made.inputs,
            outputs=tuple(_output_spec(*entry) for entry in facts["outputs"]),
            static=(*(array.ctypes.data for array in held), pool_address()),
            shapes=address("shapes") if facts["derived"] or self._made.equalities or (compilation.budget and compilation.budget.sizes) else 0,
            arena_bytes=address("arena_bytes"),
            derived=facts["derived"],
            threads=threads,
            unpack=single,
            exclusive=compilation.declared.is_stateful,
            failed=self._fail,
            owners=(held, self._loaded),
        )
        self.native = NativeCall(self.signature)
        if any(group == "settled" for group, *_ in facts["static"]):
            self._settle(threads)

    def bind(self, checked: Callable[..., Any]) -> Callable[..., Any]:
        """The fast callable."""
        return self.native.call

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The visible results for fitting arrays."""
        result = self.native.call(*arrays)
        return [result] if isinstance(result, np.ndarray) else list(result)

    # -- looking inside -----------------------------------------------------------------------------------------

    @property
    def program(self) -> Program:
        """The program in the kernel language."""
        return self._made.program

    @property
    def emitted(self) -> Emitted:
        """The module and its launches."""
        return self._made.emitted

    @cached_property
    def kernels(self) -> Kernels:
        """Every launch of a kernel function, in order: what it computes, costs and comes from. Prints as a table."""
        from .kernels import describe

        return describe(self.emitted.launches)

    def profile(self, *arrays: Any, repeat: int | None = None, **named: Any) -> Profile:
        """Time every kernel of the program on these inputs, against the limits of this machine.

        Runs `repeat` times, or for half a second. Parameters that the program updates hold their old values afterwards.
        """
        from .profile import profile

        return profile(self, self.compilation.signature.accept(arrays, named), repeat)

    def llvm_ir(self) -> str:
        """The module as LLVM IR."""
        return str(self.emitted.module)

    def assembly(self) -> str:
        """The module as assembly of the target."""
        return jit.assembly(self.llvm_ir(), self.target)

    def debug_object(self, path: str | os.PathLike[str]) -> None:
        """Write the program as one object file whose line tables lead from machine code to the lines that declared it.

        `objdump -dl`, gdb and `perf annotate` read them. It is compiled anew for this. Raises OSError where it cannot be written.
        """
        from .lines import with_lines

        lines = {kernel.function: min(found) for kernel in reversed(self.kernels) if (found := kernel.lines)}
        Path(path).write_bytes(jit.compile_object(with_lines(self.llvm_ir(), lines), self.target))

    def _memory(self, entry: list[Any], state: Sequence[Array]) -> Array:
        group, position, *rest = entry
        if group == "parameter":
            if position >= len(state):
                raise FormatError("its code is that of another program: it has more parameters")
            array: Array = state[position]
            return array
        if group == "settled":
            return aligned_empty(position)
        dtype, shape = rest
        return np.frombuffer(self._bundle.constants[position], numpy_dtype(dtype)).reshape(shape).copy()

    def _settle(self, threads: int) -> None:
        """Compute what depends on parameters alone."""
        unused = [0] * (len(self.signature.inputs) + len(self.signature.outputs))
        pointers = np.array([*unused, *self.signature.static, 0], np.int64)
        ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(self._loaded.address("settle"))(pointers.ctypes.data, None, threads)

    def _fail(self, status: int) -> None:
        sites = self._bundle.facts["sites"]
        if status == OVER_LIMIT:
            raise over_limit(self.compilation.budget)
        if status >= BROKEN_EQUALITY:
            left, right, where = self._made.equalities[status - BROKEN_EQUALITY]
            raise ShapeError(f"{where} needs {left} = {right}, which does not hold for the sizes of this call")
        raise IndexOutOfRangeError(sites[status - 1] if status <= len(sites) else f"an index is out of range (status {status})")


def over_limit(budget: Budget | None) -> MemoryLimitError:
    """What a call raises whose sizes take more memory than the limit."""
    assert budget is not None
    message = f"the sizes of this call need more memory than memory_limit, which was planned for {budget.told}: compile with larger sizes=, or pass less"
    return MemoryLimitError(message, budget.limit)


def _output_spec(name: str, dtype: str, shape: list[int | str | list[int]]) -> ArraySpec:
    return ArraySpec(name, numpy_dtype(dtype), tuple(Derived(size[0]) if isinstance(size, list) else size for size in shape))
