"""Reduction of huge arguments by pi / 2 (Payne & Hanek, "Radian reduction for trigonometric functions", SIGNUM 18, 1983)."""

from __future__ import annotations

import functools
import math

from ..llvm import F64, I64, Function, Module, Type, Value
from .doubled import product
from .expression import Real

I128 = Type("i128")
# Bits of 1 / (2 pi) in the table; the largest exponent needs all but a few.
TABLE_BITS = 1176
TABLE_BYTES = TABLE_BITS // 8 + 32
TWO_PI_REST = 2.4492935982947064e-16


@functools.cache
def pi_scaled(bits: int) -> int:
    """pi * 2**bits, truncated: Machin's formula in integers with 64 guard bits."""
    guarded = bits + 64
    return (16 * _inverse_tangent(5, guarded) - 4 * _inverse_tangent(239, guarded)) >> 64


def _inverse_tangent(denominator: int, bits: int) -> int:
    power, total, k = (1 << bits) // denominator, 0, 1
    while power:
        total += power // k if k % 4 == 1 else -(power // k)
        power //= denominator * denominator
        k += 2
    return total


def reduce_huge(f: Function, x: Value, _: Value) -> tuple[Value, Value]:
    """x = n pi / 2 + r with |r| <= pi / 4 for finite x >= 1: r as a double and n modulo 4.

    x = m 2**e, and m times the 192 bits of 1 / (2 pi) that e selects is x / (2 pi) modulo 1 with 128 bits after the point. The
    window starts on a byte; m is shifted by what is missing.
    """
    bits = f.bitcast(x, I64)
    exponent = f.shift_right(bits, I64.const(52))
    fraction = f.bit_or(f.bit_and(bits, I64.const((1 << 52) - 1)), I64.const(1 << 52))
    start = f.sub(I64.const(TABLE_BITS - 192 + 1075), exponent)
    offset = f.shift_right(f.add(start, I64.const(7)), I64.const(3))
    inside = f.select(f.compare("ult", offset, I64.const(TABLE_BYTES - 24)), offset, I64.const(0))
    shifted = f.shift_left(fraction, f.bit_and(f.neg(start), I64.const(7)))
    return _split_turns(f, _turns(f, shifted, f.offset(_table(f.module), inside, "i8")))


def _turns(f: Function, factor: Value, window: Value) -> Value:
    """factor * (the 192-bit integer at `window`) / 2**64 modulo 2**128."""
    low = f.convert("zext", _load(f, I64, window), I128)
    high = _load(f, I128, f.offset(window, I64.const(8), "i8"))
    wide = f.convert("zext", factor, I128)
    return f.add(f.mul(wide, high), f.shift_right(f.mul(wide, low), I128.const(64)))


def _load(f: Function, type: Type, address: Value) -> Value:
    return f.emit(type, f"load {type.text}, {address.typed}, align 1")


def _split_turns(f: Function, turns: Value) -> tuple[Value, Value]:
    """The nearest quarter of a turn, and what is left of it in radians; `turns` is a fraction with 128 bits."""
    quarter = f.shift_right(f.add(turns, I128.const(1 << 125)), I128.const(126))
    left = f.sub(turns, f.shift_left(quarter, I128.const(126)))
    head = f.shift_left(f.shift_right(left, I128.const(76), signed=True), I128.const(12))
    tail = f.bit_and(f.shift_right(left, I128.const(13)), I128.const((1 << 63) - 1))
    high = _scaled(f, head, 2.0**-64)
    low = _scaled(f, tail, 2.0**-115)
    radians, rest = product(high, high.const(math.tau))
    return (radians + (rest + high * TWO_PI_REST + low * math.tau)).value, f.convert("trunc", quarter, I64)


def _scaled(f: Function, integer: Value, unit: float) -> Real:
    return Real(f, f.convert("sitofp", f.convert("trunc", integer, I64), F64)) * unit


def _table(module: Module) -> Value:
    """The module's constant floor(2**TABLE_BITS / (2 pi)), little-endian."""
    name = "inverse_two_pi"
    if name not in module.globals:
        number = (1 << (TABLE_BITS + 1300)) // (2 * pi_scaled(1300))
        text = "".join(f"\\{byte:02X}" for byte in number.to_bytes(TABLE_BYTES, "little"))
        module.globals[name] = f'@{name} = internal constant [{TABLE_BYTES} x i8] c"{text}"'
    return Value(f"@{name}", Type("ptr"))
