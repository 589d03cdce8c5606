"""Functions, and the modules they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .atomics import Atomics
from .types import Type


class Function(Atomics):
    """One function being written. Every emitting method returns the new `Value`."""


@dataclass
class Module:
    """A translation unit: functions, globals and the intrinsics they use."""

    target_triple: str = ""
    data_layout: str = ""
    functions: dict[str, Function] = field(default_factory=dict)
    globals: dict[str, str] = field(default_factory=dict)
    declarations: dict[str, str] = field(default_factory=dict)
    function_attributes: str = "nounwind"
    has_scale: bool = False  # the target multiplies whole 512-bit vectors by powers of two
    has_fma: bool = True  # the target has fused multiply-add, and with it instructions that round to integers and convert 16-bit floats

    def function(self, name: str, parameters: Sequence[tuple[str, Type]], returns: Type | None = None, linkage: str = "", attributes: str = "") -> Function:
        created = Function(self, name, tuple(parameters), returns, linkage, attributes)
        self.functions[name] = created
        return created

    def declare(self, name: str, signature: str) -> None:
        """Declare an external function, e.g. `declare("llvm.exp.f32", "float @llvm.exp.f32(float)")`."""
        self.declarations.setdefault(name, f"declare {signature}")

    def __str__(self) -> str:
        head = [f'target triple = "{self.target_triple}"'] if self.target_triple else []
        if self.data_layout:
            head.insert(0, f'target datalayout = "{self.data_layout}"')
        bodies = [str(function) for function in self.functions.values()]
        return "\n".join([*head, *self.globals.values(), *self.declarations.values(), *bodies, ""])
