"""Sums of products of 8-bit integers, four at a time: a word of 32 bits holds four neighbours along k, and one lane sums four products.

Which instruction does that is a table by target. None of them saturates: sums are those of int32, modulo 2**32.
"""

from __future__ import annotations

from collections.abc import Callable

from graphdl.record import record

from ..llvm import I16, I32, Function, Type, Value
from ..target import Target, instructions_of
from .quantity import Q

BYTES = 4  # of a word
STEPS = 16  # k is filled up with zeros to a multiple of so many bytes, so that kernels may take several words at a time
HIGHEST = 0x80  # the bit in which a number as int8 and the same plus 128 as uint8 differ
ONES = 0x01010101  # a word of four ones


@record(slots=True)
class Integers:
    """What is known of a product of bytes: whether each side is int8, else uint8, and whether numbers are taken off the rows of the left one."""

    left_signed: bool
    right_signed: bool
    has_zero: bool


def words(k: Q) -> Q:
    """The words that hold k bytes."""
    return (k + (STEPS - 1)) // STEPS * (STEPS // BYTES)


@record(slots=True)
class Dot:
    """How a target sums products of words: `add(f, total, left, right, left_signed, right_signed)`.

    Where the signs are not those that the instruction takes, the left side's are changed: x as int8 is x + 128 as uint8, less 128.
    """

    add: Callable[[Function, Value, Value, Value, bool, bool], Value]
    takes: Callable[[bool, bool], bool]  # these signs of left and right
    is_one: bool  # one instruction, so that registers hold nothing but sums and operands

    def flips(self, integers: Integers) -> bool:
        """Whether the highest bit of every byte of the left side is changed."""
        return not self.takes(integers.left_signed, integers.right_signed)

    def corrects(self, integers: Integers) -> bool:
        """Whether a multiple of the sums of the right side's columns is taken off every row."""
        return integers.has_zero or self.flips(integers)

    def left_signed(self, integers: Integers) -> bool:
        """The sign of the left side as it is packed."""
        return integers.left_signed != self.flips(integers)

    def moved(self, integers: Integers) -> int:
        """What the change of signs has added to every number on the left."""
        return HIGHEST * (integers.left_signed - (not integers.left_signed)) if self.flips(integers) else 0


def dot_of(target: Target) -> Dot:
    """The fastest of the target's instructions."""
    has = instructions_of(target)
    if target.vector_bytes >= 32 and ("avx512vnni" in has or (target.vector_bytes == 32 and "avxvnni" in has)):
        return Dot(_mixed, lambda left, right: left != right, is_one=True)
    if target.triple.startswith("x86_64"):
        return Dot(_pairs, lambda left, right: True, is_one=False)
    if target.vector_bytes == 16 and "dotprod" in has:
        return Dot(_alike, lambda left, right: left == right, is_one=True)
    return Dot(_widened, lambda left, right: True, is_one=False)


def _mixed(f: Function, total: Value, left: Value, right: Value, left_signed: bool, right_signed: bool) -> Value:
    """VNNI's vpdpbusd: unsigned by signed."""
    unsigned, signed = (left, right) if right_signed else (right, left)
    name = f"llvm.x86.avx512.vpdpbusd.{total.type.lanes * 32}"
    return _called(f, name, total.type, total, unsigned, signed)


def _alike(f: Function, total: Value, left: Value, right: Value, left_signed: bool, right_signed: bool) -> Value:
    """AArch64's sdot and udot: operands of one sign."""
    bytes = Type("i8", total.type.lanes * BYTES)
    name = f"llvm.aarch64.neon.{'s' if left_signed else 'u'}dot.{total.type.suffix}.{bytes.suffix}"
    return _called(f, name, total.type, total, f.bitcast(left, bytes), f.bitcast(right, bytes))


def _called(f: Function, name: str, returns: Type, *arguments: Value) -> Value:
    f.module.declare(name, f"{returns.text} @{name}({', '.join(argument.type.text for argument in arguments)})")
    found = f.call(name, returns, *arguments)
    assert found is not None
    return found


_PAIRS = {4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}


def _pairs(f: Function, total: Value, left: Value, right: Value, left_signed: bool, right_signed: bool) -> Value:
    """x86's pmaddwd on the even and on the odd bytes, widened to 16 bits: 255 * 128 * 2 is far from the limit of 32."""
    halves = zip(_halves(f, left, left_signed), _halves(f, right, right_signed), strict=True)
    for x, y in halves:
        total = f.add(total, _called(f, _PAIRS[total.type.lanes], total.type, x, y))
    return total


def _halves(f: Function, words: Value, signed: bool) -> tuple[Value, Value]:
    """The even and the odd bytes as numbers of 16 bits."""
    wide = f.bitcast(words, I16.with_lanes(words.type.lanes * 2))
    eight = wide.type.const(8)
    return f.shift_right(f.shift_left(wide, eight), eight, signed=signed), f.shift_right(wide, eight, signed=signed)


def _widened(f: Function, total: Value, left: Value, right: Value, left_signed: bool, right_signed: bool) -> Value:
    """Byte by byte in lanes of 32 bits."""
    for place in range(BYTES):
        x, y = _byte(f, left, place, left_signed), _byte(f, right, place, right_signed)
        total = f.add(total, f.mul(x, y))
    return total


def _byte(f: Function, words: Value, place: int, signed: bool) -> Value:
    above = words.type.const(8 * (BYTES - 1 - place))
    return f.shift_right(f.shift_left(words, above), words.type.const(8 * (BYTES - 1)), signed=signed)


def joined(f: Function, parts: list[Value]) -> Value:
    """Words of four bytes each, the first of them lowest."""
    lanes = parts[0].type.lanes
    if lanes:
        low, high = (f.shuffle(parts[place], parts[place + 1], range(2 * lanes)) for place in (0, 2))
        return f.bitcast(f.shuffle(low, high, [place * lanes + lane for lane in range(lanes) for place in range(BYTES)]), I32.with_lanes(lanes))
    total = f.convert("zext", parts[0], I32)
    for place, part in enumerate(parts[1:], 1):
        total = f.bit_or(total, f.shift_left(f.convert("zext", part, I32), I32.const(8 * place)))
    return total
