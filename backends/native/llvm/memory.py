"""Addresses, loads and stores."""

from __future__ import annotations

from .types import PTR, Type, Value
from .vectors import Vectors


class Memory(Vectors):
    """Access to memory: single elements, runs, and one element a lane, under masks or not."""

    def offset(self, pointer: Value, index: Value, scalar: str) -> Value:
        """The address of element `index` (i64) of an array of `scalar` at `pointer`."""
        if index.text == "0":
            return pointer
        return self.emit(Type("ptr", index.type.lanes), f"getelementptr {scalar}, {pointer.typed}, {index.typed}")

    def load(self, pointer: Value, type: Type, mask: Value | None = None, otherwise: Value | None = None) -> Value:
        """Contiguous load, aligned to the element only. Lanes off in `mask` are not touched and read as `otherwise` (zero)."""
        align = max(type.bits // 8, 1)
        if mask is None:
            return self.emit(type, f"load {type.text}, ptr {pointer.text}, align {align}")
        passthru = otherwise or type.const(0)
        name = f"llvm.masked.load.{type.suffix}.p0"
        self.module.declare(name, f"{type.text} @{name}(ptr, {mask.type.text}, {type.text})")
        return self.emit(type, f"call {type.text} @{name}(ptr align {align} {pointer.text}, {mask.typed}, {passthru.typed})")

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        align = max(value.type.bits // 8, 1)
        if mask is None:
            self.void(f"store {value.typed}, ptr {pointer.text}, align {align}")
            return
        name = f"llvm.masked.store.{value.type.suffix}.p0"
        self.module.declare(name, f"void @{name}({value.type.text}, ptr, {mask.type.text})")
        self.void(f"call void @{name}({value.typed}, ptr align {align} {pointer.text}, {mask.typed})")

    def stream(self, value: Value, pointer: Value, align: int) -> None:
        """A store past the caches. Other threads see it after a fence."""
        self.module.globals["0"] = "!0 = !{i32 1}"
        self.void(f"store {value.typed}, ptr {pointer.text}, align {align}, !nontemporal !0")

    def gather(self, pointers: Value, type: Type, mask: Value | None = None, otherwise: Value | None = None) -> Value:
        """Load one element per lane from a vector of pointers."""
        align = max(type.bits // 8, 1)
        on = mask or Type("i1", type.lanes).const(True)
        passthru = otherwise or type.const(0)
        name = f"llvm.masked.gather.{type.suffix}.{pointers.type.suffix}"
        self.module.declare(name, f"{type.text} @{name}({pointers.type.text}, {on.type.text}, {type.text})")
        return self.emit(type, f"call {type.text} @{name}({pointers.type.text} align {align} {pointers.text}, {on.typed}, {passthru.typed})")

    def scatter(self, value: Value, pointers: Value, mask: Value | None = None) -> None:
        align = max(value.type.bits // 8, 1)
        on = mask or Type("i1", value.type.lanes).const(True)
        name = f"llvm.masked.scatter.{value.type.suffix}.{pointers.type.suffix}"
        self.module.declare(name, f"void @{name}({value.type.text}, {pointers.type.text}, {on.type.text})")
        self.void(f"call void @{name}({value.typed}, {pointers.type.text} align {align} {pointers.text}, {on.typed})")

    def alloca(self, type: Type, count: int, align: int = 64) -> Value:
        """Stack storage, always made in the entry block."""
        name = "%" + self.fresh("a")
        self.root.lines.insert(0, f"  {name} = alloca {type.text}, i64 {count}, align {align}")
        return Value(name, PTR)
