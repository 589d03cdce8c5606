"""A compiled graph as native code in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphdl.errors import FormatError, IndexOutOfRangeError, ShapeError
from graphdl.ir import Tensor
from graphdl.pipeline import Compilation
from graphdl.sizes import Dim, SymbolAtom, as_size
from graphdl.types import numpy_dtype

from .bundle import Bundle
from .runtime import jit
from .runtime.cache import default_cache, key_of, sources_digest
from .runtime.call import NativeCall
from .runtime.pool import pool_address
from .runtime.signature import ArraySpec, Derived, Signature, Size
from .status import BROKEN_EQUALITY
from .target import Target, host

if TYPE_CHECKING:
    from graphdl.kernel.expression import Buffer
    from graphdl.kernel.program import Program

    from .codegen.program import Emitted
    from .kernels import Kernels
    from .report import Profile

Array = np.ndarray[Any, Any]


class NativeProgram:
    """Native code for a graph, loaded and ready.

    Code is looked up by the declared graph: if this machine has compiled it before, no pass runs and nothing is emitted.
    """

    check = ""  # what a subclass watches for; part of the key under which code is found

    def __init__(self, compilation: Compilation, *, threads: int, single: bool) -> None:
        self.compilation = compilation
        self.target: Target = host()
        self._inputs, self.size_names, self._equalities = input_specs(compilation)
        self._bundle = self._from_cache() or self._make(threads)
        facts = self._bundle.facts
        self.objects = self._bundle.blobs[: facts["objects"]]
        self._loaded = jit.load_objects(self.objects)
        held = [self._memory(entry) for entry in facts["static"]]
        address = self._loaded.address
        self.signature = Signature(
            entry=address("entry"),
            gather=compilation.signature.accept,
            inputs=self._inputs,
            outputs=tuple(_output_spec(*entry) for entry in facts["outputs"]),
            static=(*(array.ctypes.data for array in held), pool_address()),
            shapes=address("shapes") if facts["derived"] or self._equalities else 0,
            arena_bytes=address("arena_bytes"),
            derived=facts["derived"],
            threads=threads,
            unpack=single,
            exclusive=bool(compilation.updated),
            failed=self._fail,
            owners=(held, self._loaded),
        )
        self.native = NativeCall(self.signature)

    def bind(self, checked: Callable[..., Any]) -> Callable[..., Any]:
        """The fast callable."""
        return self.native.call

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The visible results for fitting arrays."""
        result = self.native.call(*arrays)
        return [result] if isinstance(result, np.ndarray) else list(result)

    # -- looking inside -----------------------------------------------------------------------------------------

    @cached_property
    def program(self) -> Program:
        """The program in the kernel language."""
        from graphdl.lowering import lower_graph

        return lower_graph(self.compilation.compiled)

    @cached_property
    def emitted(self) -> Emitted:
        """The module and its launches. Code generation is imported only here: a program from the cache does not need it."""
        from .codegen.shapes import write_shapes

        emitted = self._emit()
        self._derived: list[Dim] = []
        self._outputs = [[b.name, b.type.dtype, [self._size(size) for size in b.type.shape]] for b in self.program.outputs]
        write_shapes(emitted, self.size_names, self._derived, self._equalities)
        return emitted

    def _emit(self) -> Emitted:
        from .codegen.program import emit_program

        return emit_program(self.program, self.target, self.size_names)

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

    # -- making and finding ---------------------------------------------------------------------------------------

    @cached_property
    def _key(self) -> str:
        return key_of("program", self.check, self.compilation.fingerprint, sources_digest(), target=self.target)

    def _from_cache(self) -> Bundle | None:
        data = default_cache().get(self._key)
        try:
            return None if data is None else Bundle.from_bytes(data)
        except FormatError:
            return None

    def _make(self, threads: int) -> Bundle:
        from .units import compile_units

        emitted = self.emitted
        objects = compile_units(emitted.module, self.target, default_cache(), threads)
        constants: list[bytes] = []
        facts = {
            "objects": len(objects),
            "static": [self._static(buffer, constants) for buffer in emitted.static],
            "outputs": self._outputs,
            "derived": len(self._derived),
            "sites": emitted.sites,
        }
        bundle = Bundle(facts, (*objects, *constants))
        default_cache().put(self._key, bundle.to_bytes())
        return bundle

    def _size(self, size: Dim) -> int | str | list[int]:
        """An output's size for JSON: a number, the name of an input's size, or the slot of a derived one in a list."""
        if isinstance(size, int) or str(size) in self.size_names:
            return size if isinstance(size, int) else str(size)
        if size not in self._derived:
            self._derived.append(size)
        return [self._derived.index(size)]

    def _static(self, buffer: Buffer, constants: list[bytes]) -> list[Any]:
        """Where the memory of a parameter or constant is found again: by its place in the declared graph, or as bytes."""
        tensor: Tensor = buffer.source
        for group, tensors in (("parameter", self.compilation.source.parameters), ("updated", self.compilation.updated)):
            for position, other in enumerate(tensors):
                if other is tensor:
                    return [group, position]
        constants.append(np.ascontiguousarray(tensor.value).tobytes())
        return ["constant", len(constants) - 1, buffer.type.dtype, list(buffer.type.shape)]

    def _memory(self, entry: list[Any]) -> Array:
        group, position, *rest = entry
        if group != "constant":
            tensors = self.compilation.source.parameters if group == "parameter" else self.compilation.updated
            array: Array = tensors[position].value
            return array
        dtype, shape = rest
        blob = self._bundle.blobs[self._bundle.facts["objects"] + position]
        return np.frombuffer(blob, numpy_dtype(dtype)).reshape(shape).copy()

    def _fail(self, status: int) -> None:
        sites = self._bundle.facts["sites"]
        if status >= BROKEN_EQUALITY:
            left, right, where = self._equalities[status - BROKEN_EQUALITY]
            raise ShapeError(f"{where} needs {left} = {right}, which does not hold for the sizes of this call")
        raise IndexOutOfRangeError(sites[status - 1] if status <= len(sites) else f"an index is out of range (status {status})")


def _output_spec(name: str, dtype: str, shape: list[int | str | list[int]]) -> ArraySpec:
    return ArraySpec(name, numpy_dtype(dtype), tuple(Derived(size[0]) if isinstance(size, list) else size for size in shape))


def input_specs(compilation: Compilation) -> tuple[tuple[ArraySpec, ...], list[str], list[tuple[Dim, Dim, str]]]:
    """The inputs, the names of the sizes a call gives, and the equalities that a call must keep.

    An axis whose size is an expression gets a name of its own, and an equality.
    """
    signature = compilation.signature
    equalities: list[tuple[Dim, Dim, str]] = [(left, right, f"{node.op.name} ({node.provenance.source})") for (left, right), node in signature.constraints]
    specs = []
    names: dict[str, None] = {}
    for name, type in zip(signature.names, signature.types, strict=True):
        shape: list[Size] = []
        for axis, size in enumerate(type.shape):
            if isinstance(size, int):
                shape.append(size)
                continue
            own = str(size) if str(size) in signature.symbols else f"{name}.{axis}"
            if own not in signature.symbols:
                equalities.append((as_size(SymbolAtom(own)), size, f"axis {axis} of input {name!r}"))
            names[own] = None
            shape.append(own)
        specs.append(ArraySpec(name, numpy_dtype(type.dtype), tuple(shape)))
    return tuple(specs), list(names), equalities
