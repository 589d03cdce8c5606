"""What a graph costs, as algebra in its symbolic sizes: from the kernels and the memory plan that it is compiled to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ..backends.native.codegen.entry import EntryWriter
from ..backends.native.codegen.program import Emitted, emit_program
from ..backends.native.kernels import Kernels, describe
from ..backends.native.making import input_specs
from ..backends.native.target import host
from ..budget import parse_bytes
from ..collection import paused_collection
from ..compiler import Executable, prepare
from ..errors import GraphdlError
from ..ir import Graph, Node, Tensor
from ..kernel.counting import bytes_moved, flops_of
from ..kernel.program import Program
from ..lowering import lower_graph
from ..lowering.memory import held_bytes
from ..pipeline import PASSES, Compilation, selected
from ..record import record
from ..sizes import Dim, evaluate, symbols_of, to_sympy
from ..table import Table

if TYPE_CHECKING:
    import sympy

LARGEST = 1 << 48


@record
class NodeCost:
    """A node of the simplified graph as if it ran alone: reading its operands from memory, writing its result there."""

    node: Node
    flops: Dim
    bytes: Dim

    @property
    def is_derived(self) -> bool:
        """Whether it belongs to a derivative."""
        return self.node.provenance.is_derived


@record(repr=False)
class Cost:
    """The cost of one call. Sizes are polynomials in the symbolic sizes, with floors where memory is aligned.

    `flops` counts scalar functions as the kernel language's table does: an addition is 1, a multiply-add 2, an exponential 14.
    `bytes` is what all kernels together must read and write. `arena` is the memory between kernels, to the byte what a call takes,
    and `peak_memory` adds inputs, outputs, parameters and constants.
    """

    kernels: Kernels
    compilation: Compilation
    _program: Program
    _emitted: Emitted

    @property
    def flops(self) -> sympy.Expr:
        """Floating-point operations."""
        return to_sympy(self._flops)

    @property
    def bytes(self) -> sympy.Expr:
        """Bytes that the kernels read and write."""
        return to_sympy(self._bytes)

    @property
    def arena(self) -> sympy.Expr:
        """Bytes of temporaries, packed operands included."""
        return to_sympy(self._emitted.plan.total)

    @property
    def peak_memory(self) -> sympy.Expr:
        """Bytes of everything that lives during a call."""
        return to_sympy(self._memory)

    @property
    def intensity(self) -> sympy.Expr:
        """Operations per byte."""
        return self.flops / self.bytes

    @cached_property
    def per_node(self) -> tuple[NodeCost, ...]:
        """Every node that computes, in order, before fusion."""
        names = [one.name for one in selected("default", self.compilation.mode) if PASSES[one.name].phase != "fuse"]
        source = self.compilation
        program = lower_graph(Compilation(source.declared, names, source.mode).compiled)
        found: dict[Node, tuple[Dim, Dim]] = {}
        for step in program.steps:
            for node in step.origins[:1]:
                flops, moved = found.get(node, (0, 0))
                found[node] = flops + flops_of(step), moved + bytes_moved(step)
        return tuple(NodeCost(node, *amounts) for node, amounts in found.items())

    def at(self, **sizes: int) -> dict[str, int]:
        """Every amount as a number, for these sizes. Raises GraphdlError naming a size that is missing."""
        amounts = {"flops": self._flops, "bytes": self._bytes, "arena": self._emitted.plan.total, "peak_memory": self._memory}
        return {name: _evaluate(amount, sizes) for name, amount in amounts.items()}

    def largest(self, name: str, memory: str | int, **sizes: int) -> int:
        """The largest size `name` whose call fits into `memory` ("2 GiB" or bytes), given all other `sizes`; 0 if none does.

        Raises GraphdlError if no memory depends on `name`, or another size is missing.
        """
        if name not in symbols_of(self._memory):
            raise GraphdlError(f"no memory depends on a size {name!r}; there are {', '.join(sorted(symbols_of(self._memory))) or 'none'}")
        limit = parse_bytes(memory)
        low, high = 0, 1
        while high < LARGEST and _evaluate(self._memory, {**sizes, name: high}) <= limit:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _evaluate(self._memory, {**sizes, name: middle}) <= limit else (low, middle)
        return low

    @cached_property
    def _flops(self) -> Dim:
        return sum((kernel.flops for kernel in self.kernels), 0)

    @cached_property
    def _bytes(self) -> Dim:
        return sum((bytes_moved(step) for step in self._program.steps), 0)

    @cached_property
    def _memory(self) -> Dim:
        return held_bytes(self._program) + self._emitted.plan.total

    @property
    def table(self) -> Table:
        """Every kernel, and the totals."""
        rows = tuple((one.name, str(one.flops), str(one.bytes), one.origin) for one in self.kernels if one.flops or one.bytes)
        title = f"peak memory {self._memory} bytes, of these {self._emitted.plan.total} between kernels"
        return Table(title, ("kernel", "flops", "bytes", "from"), rows, ("from",), ("total", str(self._flops), str(self._bytes)))

    def __str__(self) -> str:
        return self.table.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table.html()


class _Unwritten(EntryWriter):
    """No entry: costs need the launches and the plan only."""

    def write(self) -> None:
        pass


def cost(of: Tensor | Iterable[Tensor] | Graph | Executable, *, updates: Mapping[Tensor, Tensor] | None = None, mode: str = "train") -> Cost:
    """What one call costs of a program that computes `of` on this machine. Nothing is compiled for it.

    Raises CompileError where the tensors cannot be compiled.
    """
    with paused_collection():
        compilation = compilation_of(of, updates, mode)
        program = lower_graph(compilation.compiled)
        emitted = emit_program(program, host(), input_specs(compilation.signature)[1], _Unwritten)
        return Cost(describe(emitted.launches), compilation, program, emitted)


def compilation_of(of: Tensor | Iterable[Tensor] | Graph | Executable, updates: Mapping[Tensor, Tensor] | None = None, mode: str = "train") -> Compilation:
    """What would be compiled for `of`. Raises CompileError."""
    if isinstance(of, Executable):
        return of.compilation
    if isinstance(of, Graph):
        return prepare(of.outputs, of.inputs, updates=updates, mode=mode)
    return prepare(of, updates=updates, mode=mode)


def _evaluate(amount: Dim, sizes: Mapping[str, int]) -> int:
    try:
        return evaluate(amount, sizes)
    except KeyError as error:
        raise GraphdlError(f"the size {error.args[0]} is missing: give it by name") from None
