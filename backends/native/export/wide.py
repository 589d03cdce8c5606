"""Multiplication of 128-bit integers, for targets where LLVM calls a function of the compiler's own library for it."""

from __future__ import annotations

from ..llvm import I64, PTR, Function, Module, Value

NAME = "__multi3"
_HALF = I64.const(32)
_LOW = I64.const((1 << 32) - 1)


def write_wide_product(module: Module) -> None:
    """Add `__multi3(product, low, high, low, high)` as 32-bit WebAssembly calls it, weak, as other objects may bring theirs."""
    f = module.function(NAME, [("product", PTR), ("a", I64), ("a_high", I64), ("b", I64), ("b_high", I64)], None, "weak hidden")
    product, a, a_high, b, b_high = f.parameters
    crossed = f.add(f.mul(a, b_high), f.mul(a_high, b))
    f.store(f.mul(a, b), product)
    f.store(f.add(_high_half(f, a, b), crossed), f.offset(product, I64.const(1), "i64"))
    f.ret()


def _high_half(f: Function, a: Value, b: Value) -> Value:
    """The upper 64 bits of the product, from products of 32 bits (Knuth, The Art of Computer Programming 2, 4.3.1 M)."""
    (a_low, a_up), (b_low, b_up) = (_split(f, x) for x in (a, b))
    inner = f.add(f.mul(a_up, b_low), _split(f, f.mul(a_low, b_low))[1])
    outer = f.add(f.mul(a_low, b_up), _split(f, inner)[0])
    carried = f.add(_split(f, inner)[1], _split(f, outer)[1])
    return f.add(f.mul(a_up, b_up), carried)


def _split(f: Function, x: Value) -> tuple[Value, Value]:
    return f.bit_and(x, _LOW), f.shift_right(x, _HALF)
