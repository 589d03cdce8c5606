"""16-bit floats, which memory holds as i16 and registers as 32-bit floats. All roundings are to nearest, ties to even.

bfloat16 is converted by integer arithmetic everywhere: the processors' instruction for it takes denormal numbers for zero.
float16 is converted by instructions where the target has them, which are those targets that have fused multiply-add.
"""

from __future__ import annotations

from ..llvm import F16, F32, F64, I16, I32, Function, Type, Value

_SIGN, _INFINITY = 0x80000000, 0x7F800000
_BIAS = 112 << 23  # between the exponents of float32 and float16


def widened(f: Function, bits: Value, dtype: str) -> Value:
    """The float32 of float16 or bfloat16 bits."""
    lanes = bits.type.lanes
    if dtype == "float16" and f.module.has_fma:
        return f.convert("fpext", f.bitcast(bits, F16.with_lanes(lanes)), F32.with_lanes(lanes))
    word = f.convert("zext", bits, I32.with_lanes(lanes))
    if dtype == "bfloat16":
        return f.bitcast(_shifted(f, word, 16), F32.with_lanes(lanes))
    magnitude = f.bit_and(word, _constant(word, 0x7FFF))
    scaled = f.mul(f.bitcast(_shifted(f, magnitude, 13), F32.with_lanes(lanes)), F32.with_lanes(lanes).const(2.0**112))
    is_finite = f.compare("ult", magnitude, _constant(word, 0x7C00))
    special = f.bit_or(_shifted(f, magnitude, 13), _constant(word, _INFINITY))
    absolute = f.select(is_finite, f.bitcast(scaled, word.type), special)
    sign = _shifted(f, f.bit_and(word, _constant(word, 0x8000)), 16)
    return f.bitcast(f.bit_or(absolute, sign), F32.with_lanes(lanes))


def narrowed(f: Function, x: Value, dtype: str) -> Value:
    """The bits, as i16, of a float32 or float64 rounded to float16 or bfloat16."""
    lanes = x.type.lanes
    x = _rounded_to_odd(f, x) if x.type.scalar == "double" else x
    if dtype == "float16" and f.module.has_fma:
        return f.bitcast(f.convert("fptrunc", x, F16.with_lanes(lanes)), I16.with_lanes(lanes))
    word = f.bitcast(x, I32.with_lanes(lanes))
    magnitude = f.bit_and(word, _constant(word, ~_SIGN))
    absolute = _to_bfloat16(f, magnitude) if dtype == "bfloat16" else _to_float16(f, magnitude)
    sign = f.shift_right(f.bit_and(word, _constant(word, _SIGN)), _constant(word, 16))
    return f.convert("trunc", f.bit_or(absolute, sign), I16.with_lanes(lanes))


def _to_bfloat16(f: Function, magnitude: Value) -> Value:
    is_nan = f.compare("ugt", magnitude, _constant(magnitude, _INFINITY))
    return f.select(is_nan, _constant(magnitude, 0x7FC0), f.shift_right(_tied_to_even(f, magnitude, 16), _constant(magnitude, 16)))


def _to_float16(f: Function, magnitude: Value) -> Value:
    """Normal numbers by a change of bias, denormal ones by adding 1/2, whose unit in the last place is theirs."""
    rebiased = f.sub(_tied_to_even(f, magnitude, 13), _constant(magnitude, _BIAS))
    normal = f.intrinsic("umin", magnitude.type, f.shift_right(rebiased, _constant(magnitude, 13)), _constant(magnitude, 0x7C00))
    single = F32.with_lanes(magnitude.type.lanes)
    half = single.const(0.5)
    denormal = f.sub(f.bitcast(f.add(f.bitcast(magnitude, single), half), magnitude.type), _constant(magnitude, 0x3F000000))
    is_denormal = f.compare("ult", magnitude, _constant(magnitude, _BIAS + (1 << 23)))
    is_nan = f.compare("ugt", magnitude, _constant(magnitude, _INFINITY))
    return f.select(is_nan, _constant(magnitude, 0x7E00), f.select(is_denormal, denormal, normal))


def _tied_to_even(f: Function, bits: Value, dropped: int) -> Value:
    """`bits` plus what makes cutting off the last `dropped` ones a rounding."""
    last = f.bit_and(f.shift_right(bits, _constant(bits, dropped)), _constant(bits, 1))
    return f.add(f.add(bits, _constant(bits, (1 << (dropped - 1)) - 1)), last)


def _rounded_to_odd(f: Function, x: Value) -> Value:
    """float64 to float32 so that rounding once more is rounding once: what is inexact is cut off, and its last bit set."""
    single = f.convert("fptrunc", x, F32.with_lanes(x.type.lanes))
    back = f.convert("fpext", single, F64.with_lanes(x.type.lanes))
    bits = f.bitcast(single, I32.with_lanes(x.type.lanes))
    away = f.compare("ogt", f.intrinsic("fabs", x.type, back), f.intrinsic("fabs", x.type, x))
    cut = f.bit_or(f.select(away, f.sub(bits, _constant(bits, 1)), bits), _constant(bits, 1))
    return f.bitcast(f.select(f.compare("one", back, x), cut, bits), single.type)


def _shifted(f: Function, word: Value, places: int) -> Value:
    return f.shift_left(word, _constant(word, places))


def _constant(like: Value, value: int) -> Value:
    kind: Type = like.type
    return kind.const(value)
