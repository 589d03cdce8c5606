"""Remainders."""

from __future__ import annotations

from ..llvm import F64, I64, Function, Value
from .doubled import product
from .expression import Mask, Real, copy_sign, flip_sign, sign_of, where
from .rare import call_lanewise, rarely
from .registry import function
from .rounding import trunc

LOW_EXPONENT = 1075  # of the unit of a double's integer fraction


@function("fmod", ulp32=0.0, ulp64=0.0)
def fmod(x: Real, y: Real) -> Real:
    """x - y trunc(x / y), exact: by one division and an exact product while the quotient has no more bits than a number, else, under
    a branch, by long division of the fractions."""
    dividend, divisor = abs(x), abs(y)
    quotient = dividend / divisor
    multiple, error = product(trunc(quotient), divisor)
    left = (dividend - multiple) - error
    near = where(left < 0.0, left + divisor, left)
    [rest] = rarely(_out_of_reach(quotient, divisor), [near.value], lambda: [_long_division(dividend, divisor).value])
    within = where(dividend < divisor, dividend, Real(x.f, rest))
    regular = (dividend < float("inf")) & (divisor > 0.0)
    return where(regular, flip_sign(within, sign_of(x)), float("nan"))


@function("mod", ulp32=0.5, ulp64=0.5)
def mod(x: Real, y: Real) -> Real:
    """x - y floor(x / y), with the sign of y as in NumPy: `fmod`, plus y where the signs differ."""
    left = fmod(x, y)
    differs = (sign_of(left) ^ sign_of(y)).compare("ne", 0)
    return where(left.equals(0.0), copy_sign(left, y), where(differs, left + y, left))


def _out_of_reach(quotient: Real, divisor: Real) -> Mask:
    """Where the quotient is not held exactly, or splitting the divisor might overflow or lose bits below the smallest number."""
    long = quotient >= 2.0**quotient.format.fraction
    if quotient.has_fma:
        return long
    edge = quotient.format.bias - 2 * quotient.format.fraction
    return long | ((quotient >= 1.0) & ((divisor > 2.0**edge) | (divisor < 2.0**-edge)))


def _long_division(x: Real, y: Real) -> Real:
    wide = F64.with_lanes(x.type.lanes)
    rest, _ = call_lanewise(x.f, "remainder_long", [x.convert(wide).value, y.convert(wide).value], _remainder_long)
    return Real(x.f, rest).convert(x.type)


def _remainder_long(f: Function, x: Value, y: Value) -> tuple[Value, Value]:
    """The remainder of finite x >= y > 0: that of the integer fractions, doubled once for every binary place between the exponents."""
    fraction, exponent = _decode(f, x)
    divisor, unit = _decode(f, y)
    safe = f.select(f.compare("eq", divisor, I64.const(0)), I64.const(1), divisor)
    start = f.emit(I64, f"urem {fraction.typed}, {safe.text}")
    with f.loop(I64.const(0), f.sub(exponent, unit), carried=[start]) as loop:
        twice = f.shift_left(loop.carried[0], I64.const(1))
        loop.next = [f.select(f.compare("uge", twice, safe), f.sub(twice, safe), twice)]
    return _encode(f, loop.carried[0], unit), y


def _decode(f: Function, x: Value) -> tuple[Value, Value]:
    """The integer fraction and the biased exponent; denormal numbers have those of their unit."""
    bits = f.bitcast(x, I64)
    exponent, fraction = f.shift_right(bits, I64.const(52)), f.bit_and(bits, I64.const((1 << 52) - 1))
    denormal = f.compare("eq", exponent, I64.const(0))
    normal_fraction = f.bit_or(fraction, I64.const(1 << 52))
    return f.select(denormal, fraction, normal_fraction), f.select(denormal, I64.const(1), exponent)


def _encode(f: Function, fraction: Value, exponent: Value) -> Value:
    """fraction * 2**(exponent - 1075), the factor in two halves."""
    total = f.sub(exponent, I64.const(LOW_EXPONENT - 2 * 1023))
    half = f.shift_right(total, I64.const(1))
    number = f.convert("sitofp", fraction, F64)
    for part in (half, f.sub(total, half)):
        number = f.mul(number, f.bitcast(f.shift_left(part, I64.const(52)), F64))
    return number
