"""A compiled graph as native code in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphdl.errors import IndexOutOfRangeError, ShapeError
from graphdl.kernel.expression import Buffer
from graphdl.lowering import lower_graph
from graphdl.program import CompiledGraph
from graphdl.sizes import Dim, SymbolAtom, as_size
from graphdl.types import numpy_dtype

from .codegen.program import Emitted, emit_program
from .llvm import I64, PTR
from .runtime import jit
from .runtime.cache import cached_object
from .runtime.call import NativeCall
from .runtime.pool import pool_address
from .runtime.signature import ArraySpec, Derived, Signature, Size
from .target import Target, host

Array = np.ndarray[Any, Any]
BROKEN_CONSTRAINT = 1 << 32  # statuses from here on count the size equalities of a call


class NativeProgram:
    """Native code for a compiled graph, loaded and ready."""

    def __init__(self, compiled: CompiledGraph, *, threads: int, single: bool, check: str | None = None) -> None:
        self.compiled = compiled
        self.target: Target = host()
        self.program = lower_graph(compiled)
        self._inputs, self._symbols, self._equalities = _input_specs(compiled)
        emitted = emit_program(self.program, self.target, self._symbols)
        self.emitted = emitted
        self._derived: list[Dim] = []
        outputs = tuple(self._output(buffer) for buffer in self.program.outputs)
        _write_shapes(emitted, self._symbols, self._derived, self._equalities)
        self._text = str(emitted.module)
        self._loaded = jit.load_object(cached_object(self._text, self.target))
        held = [_memory(buffer) for buffer in emitted.static]
        address = self._loaded.address
        signature = Signature(
            entry=address("entry"),
            inputs=self._inputs,
            outputs=outputs,
            static=(*(array.ctypes.data for array in held), pool_address()),
            shapes=address("shapes") if self._derived or self._equalities else 0,
            arena_bytes=address("arena_bytes"),
            derived=len(self._derived),
            threads=threads,
            unpack=single,
            exclusive=bool(compiled.updated),
            failed=self._fail,
            owners=(held, self._loaded),
        )
        self._native = NativeCall(signature)

    def bind(self, checked: Callable[..., Any]) -> Callable[..., Any]:
        """The fast callable."""
        return self._native.call

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The visible results for fitting arrays."""
        result = self._native.call(*arrays)
        return [result] if isinstance(result, np.ndarray) else list(result)

    @property
    def kernels(self) -> list[str]:
        """The kernel functions in the order of their launches; equal ones appear under one name."""
        return [launch.function for launch in self.emitted.launches]

    def llvm_ir(self) -> str:
        """The module as LLVM IR."""
        return self._text

    def assembly(self) -> str:
        """The module as assembly of the target."""
        return jit.assembly(self._text, self.target)

    def _output(self, buffer: Buffer) -> ArraySpec:
        return ArraySpec(buffer.name, numpy_dtype(buffer.type.dtype), tuple(self._size(size) for size in buffer.type.shape))

    def _size(self, size: Dim) -> Size:
        if isinstance(size, int):
            return size
        if str(size) in self._symbols:
            return str(size)
        if size not in self._derived:
            self._derived.append(size)
        return Derived(self._derived.index(size))

    def _fail(self, status: int) -> None:
        if status >= BROKEN_CONSTRAINT:
            left, right, where = self._equalities[status - BROKEN_CONSTRAINT]
            raise ShapeError(f"{where} needs {left} = {right}, which does not hold for the sizes of this call")
        raise IndexOutOfRangeError(self.program.sites[status - 1] if status <= len(self.program.sites) else f"an index is out of range (status {status})")


def _memory(buffer: Buffer) -> Array:
    array: Array = buffer.source.value
    return array


def _input_specs(compiled: CompiledGraph) -> tuple[tuple[ArraySpec, ...], list[str], list[tuple[Dim, Dim, str]]]:
    """The inputs, the names of the sizes a call gives, and the equalities that a call must keep.

    An axis whose size is an expression gets a name of its own, and an equality.
    """
    signature = compiled.signature
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


def _write_shapes(emitted: Emitted, symbols: Sequence[str], derived: Sequence[Dim], equalities: Sequence[tuple[Dim, Dim, str]]) -> None:
    """`shapes` checks the equalities and computes the sizes of outputs that are no plain symbols."""
    from .codegen.program import size_emitter

    f = emitted.module.function("shapes", [("sizes", PTR), ("derived", PTR)], I64)
    index = size_emitter(f, f.parameters[0], symbols).index
    for position, (left, right, _) in enumerate(equalities):
        broken, good = f.fresh("broken"), f.fresh("good")
        f.branch_if(f.compare("ne", index(left), index(right)), broken, good)
        f.label(broken)
        f.ret(I64.const(BROKEN_CONSTRAINT + position))
        f.label(good)
    for position, size in enumerate(derived):
        f.store(index(size), f.offset(f.parameters[1], I64.const(position), "i64"))
    f.ret(I64.const(0))
