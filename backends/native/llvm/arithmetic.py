"""Arithmetic, comparisons, conversions and calls."""

from __future__ import annotations

from collections.abc import Sequence

from .types import Type, Value
from .writer import Writer


class Arithmetic(Writer):
    """Instructions on values of equal type, scalars or vectors."""

    def _binary(self, integer: str, floating: str, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"{floating if x.type.is_float else integer} {x.typed}, {y.text}")

    def add(self, x: Value, y: Value) -> Value:
        return self._binary("add", "fadd", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self._binary("sub", "fsub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self._binary("mul", "fmul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        """Floating division, or signed integer division towards zero."""
        return self._binary("sdiv", "fdiv", x, y)

    def rem(self, x: Value, y: Value) -> Value:
        return self._binary("srem", "frem", x, y)

    def bit_and(self, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"and {x.typed}, {y.text}")

    def bit_or(self, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"or {x.typed}, {y.text}")

    def bit_xor(self, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"xor {x.typed}, {y.text}")

    def shift_left(self, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"shl {x.typed}, {y.text}")

    def shift_right(self, x: Value, y: Value, *, signed: bool = False) -> Value:
        return self.emit(x.type, f"{'ashr' if signed else 'lshr'} {x.typed}, {y.text}")

    def neg(self, x: Value) -> Value:
        return self.emit(x.type, f"fneg {x.typed}") if x.type.is_float else self.sub(x.type.const(0), x)

    def compare(self, predicate: str, x: Value, y: Value) -> Value:
        """`predicate` is LLVM's: `oeq`, `olt`, `une`, `uno` ... for floats, `eq`, `slt`, `ult` ... for integers."""
        return self.emit(Type("i1", x.type.lanes), f"{'fcmp' if x.type.is_float else 'icmp'} {predicate} {x.typed}, {y.text}")

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"select {condition.typed}, {x.typed}, {y.typed}")

    def convert(self, instruction: str, x: Value, to: Type) -> Value:
        """A conversion by name: `sitofp`, `fptosi`, `fpext`, `fptrunc`, `sext`, `zext`, `trunc`, `bitcast` ..."""
        return self.emit(to, f"{instruction} {x.typed} to {to.text}")

    def bitcast(self, x: Value, to: Type) -> Value:
        return self.convert("bitcast", x, to)

    def intrinsic(self, name: str, returns: Type, *arguments: Value, overload: Sequence[Type] | None = None) -> Value:
        """Call `llvm.<name>`, mangled with `overload` (the result type unless given)."""
        full = self._declare_intrinsic(name, returns, arguments, overload)
        return self.emit(returns, f"call {returns.text} @{full}({', '.join(a.typed for a in arguments)})")

    def intrinsic_void(self, name: str, *arguments: Value, overload: Sequence[Type]) -> None:
        full = self._declare_intrinsic(name, None, arguments, overload)
        self.void(f"call void @{full}({', '.join(a.typed for a in arguments)})")

    def _declare_intrinsic(self, name: str, returns: Type | None, arguments: Sequence[Value], overload: Sequence[Type] | None) -> str:
        mangled = overload if overload is not None else ([returns] if returns else [])
        full = ".".join(["llvm." + name, *(type.suffix for type in mangled)])
        signature = f"{returns.text if returns else 'void'} @{full}({', '.join(a.type.text for a in arguments)})"
        self.module.declare(full, signature)
        return full

    def call(self, name: str, returns: Type | None, *arguments: Value) -> Value | None:
        text = f"call {returns.text if returns else 'void'} @{name}({', '.join(a.typed for a in arguments)})"
        if returns is None:
            self.void(text)
            return None
        return self.emit(returns, text)

    def scaled(self, x: Value, n: Value) -> Value:
        """x * 2**n for a 512-bit vector: AVX-512's vscalef, all lanes on, rounded as the processor is set."""
        name, lanes, text = f"llvm.x86.avx512.mask.scalef.p{'s' if x.type.bits == 32 else 'd'}.512", f"i{x.type.lanes}", x.type.text
        self.module.declare(name, f"{text} @{name}({text}, {text}, {text}, {lanes}, i32)")
        return self.emit(x.type, f"call {text} @{name}({x.typed}, {n.typed}, {x.typed}, {lanes} -1, i32 4)")

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """x * y + z, rounded once where the target has the instruction (`llvm.fmuladd`)."""
        return self.intrinsic("fmuladd", x.type, x, y, z)
