"""What threads say to each other through memory."""

from __future__ import annotations

from .memory import Memory
from .types import I1, I32, Type, Value


class Atomics(Memory):
    """Atomic accesses, fences, and the hint of a spinning loop."""

    def atomic_load(self, pointer: Value, type: Type, order: str = "acquire") -> Value:
        """`order` is LLVM's: `monotonic`, `acquire`, `release`, `acq_rel`, `seq_cst`."""
        return self.emit(type, f"load atomic {type.text}, ptr {pointer.text} {order}, align {type.bits // 8}")

    def atomic_store(self, value: Value, pointer: Value, order: str = "release") -> None:
        self.void(f"store atomic {value.typed}, ptr {pointer.text} {order}, align {value.type.bits // 8}")

    def atomic_rmw(self, operation: str, pointer: Value, value: Value, order: str = "acq_rel") -> Value:
        """Read, combine by `xchg`, `add`, `sub`, `or` ..., write; returns what was there before."""
        return self.emit(value.type, f"atomicrmw {operation} ptr {pointer.text}, {value.typed} {order}")

    def compare_exchange(self, pointer: Value, expected: Value, desired: Value, order: str = "acq_rel") -> tuple[Value, Value]:
        """Write `desired` if `expected` is there. Returns what was there and whether it was written (i1)."""
        pair = f"{{ {expected.type.text}, i1 }}"
        result = self.emit(expected.type, f"cmpxchg ptr {pointer.text}, {expected.typed}, {desired.typed} {order} acquire")
        old = self.emit(expected.type, f"extractvalue {pair} {result.text}, 0")
        return old, self.emit(I1, f"extractvalue {pair} {result.text}, 1")

    def fence(self, order: str = "seq_cst") -> None:
        self.void(f"fence {order}")

    def pause(self) -> None:
        """Tell the processor that this is a spinning loop; nothing where the module's triple has no such hint."""
        architecture = self.module.target_triple.split("-")[0]
        if architecture == "x86_64":
            self.intrinsic_void("x86.sse2.pause", overload=())
        elif architecture in ("aarch64", "arm64"):
            self.intrinsic_void("aarch64.hint", I32.const(1), overload=())
