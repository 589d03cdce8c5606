"""From a compilation to the object file, header and parameters of a program, for this processor or any other."""

from __future__ import annotations

from graphdl.errors import BackendError
from graphdl.lowering import lower_graph
from graphdl.pipeline import Compilation
from graphdl.record import record

from ..codegen.program import emit_program
from ..codegen.shapes import write_shapes
from ..runtime import jit
from ..runtime.futex import LINUX
from ..runtime.pool import has_threads
from ..target import Target
from .header import write_header
from .interface import ALIGNMENT, RESERVED, Argument, Interface, c_names, checked_name, lay_out
from .module import write_module


@record
class Artifact:
    """An exported program: how it looks from C, and its code."""

    interface: Interface
    code: bytes

    @property
    def header(self) -> str:
        """The text of the C header."""
        return write_header(self.interface)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The functions that the code offers."""
        name = self.interface.name
        return (name, f"{name}_error", *([f"{name}_arena_bytes"] if self.interface.arena is None else []))


def export_program(compilation: Compilation, name: str, target: Target, *, threads: bool = False, baked: bool = False) -> Artifact:
    """Emit the compiled graph for `target` with public functions named after `name`. Raises BackendError."""
    checked_name(name)
    if threads and not has_threads(target.triple):
        raise BackendError(f"threads=True needs Linux on {', '.join(LINUX)}, and the target is {target.triple}")
    program = lower_graph(compilation.compiled)
    signature = compilation.signature
    emitted = emit_program(program, target, signature.symbols)
    equalities = signature.equalities
    write_shapes(emitted, signature.symbols, [], equalities)
    sizes = c_names(signature.symbols, RESERVED)
    inputs = c_names(signature.names, [*RESERVED, *map(str.lower, sizes)])
    outputs = c_names(
        ["output"] if len(program.outputs) == 1 else [f"output{k}" for k in range(len(program.outputs))], [*RESERVED, *map(str.lower, (*sizes, *inputs))]
    )
    total = emitted.plan.total
    order = {tensor: position for position, tensor in enumerate(compilation.declared.updated)}
    interface = Interface(
        name,
        target,
        tuple(zip(signature.symbols, sizes, strict=True)),
        tuple(Argument(*row) for row in zip(inputs, signature.names, signature.types, strict=True)),
        tuple(Argument(name, name, buffer.type) for name, buffer in zip(outputs, program.outputs, strict=True)),
        lay_out(sorted(program.parameters, key=lambda buffer: order.get(buffer.source, len(order)))),
        frozenset(buffer for buffer in program.parameters if buffer.source in order),
        max(total, ALIGNMENT) if isinstance(total, int) else None,
        baked,
        threads,
        tuple(emitted.sites),
        tuple(f"{where} needs {left} = {right}" for left, right, where in equalities),
    )
    text = write_module(emitted, interface, jit.data_layout(target))
    return Artifact(interface, jit.compile_object(text, target))
