"""Python operators over the IR being written, so that a function's code reads as its formula.

`Real` is a float or double value, `Bits` an integer of the same width and lanes, `Mask` the outcome of a comparison. A Python
number among the operands is a constant of the other's type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from graphdl.record import record

from ..llvm import F32, F64, I1, Function, Type, Value


@record(slots=True)
class Format:
    """An IEEE 754 binary format: bits of the fraction and the exponent's bias."""

    fraction: int
    bias: int

    @property
    def magic(self) -> float:
        """1.5 * 2**fraction: added to a small number, it leaves the nearest integer in the sum's low bits."""
        return 1.5 * 2.0**self.fraction

    @property
    def one(self) -> int:
        """The bits of 1.0."""
        return self.bias << self.fraction

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)


FORMATS = {"float": Format(23, 127), "double": Format(52, 1023)}


@record(slots=True)
class Mask:
    """A condition per lane."""

    f: Function
    value: Value

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.f, self.f.bit_and(self.value, other.value))

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.f, self.f.bit_or(self.value, other.value))

    def __invert__(self) -> Mask:
        return Mask(self.f, self.f.bit_xor(self.value, self.value.type.const(True)))

    def any(self) -> Value:
        """A scalar i1: whether any lane is on."""
        return self.f.intrinsic("vector.reduce.or", I1, self.value, overload=[self.value.type]) if self.value.type.lanes else self.value


@record(slots=True)
class Bits:
    """The bits of floating values as integers, with operators."""

    f: Function
    value: Value

    def _with(self, emit: Callable[[Value, Value], Value], other: Bits | int) -> Bits:
        operand = other.value if isinstance(other, Bits) else self.value.type.const(other)
        return Bits(self.f, emit(self.value, operand))

    def __add__(self, other: Bits | int) -> Bits:
        return self._with(self.f.add, other)

    def __sub__(self, other: Bits | int) -> Bits:
        return self._with(self.f.sub, other)

    def __rsub__(self, other: int) -> Bits:
        return Bits(self.f, self.f.sub(self.value.type.const(other), self.value))

    def __and__(self, other: Bits | int) -> Bits:
        return self._with(self.f.bit_and, other)

    def __or__(self, other: Bits | int) -> Bits:
        return self._with(self.f.bit_or, other)

    def __xor__(self, other: Bits | int) -> Bits:
        return self._with(self.f.bit_xor, other)

    def __lshift__(self, count: Bits | int) -> Bits:
        return self._with(self.f.shift_left, count)

    def __rshift__(self, count: Bits | int) -> Bits:
        """Logical: zeros come in from the left."""
        return self._with(self.f.shift_right, count)

    def compare(self, predicate: str, other: Bits | int) -> Mask:
        operand = other.value if isinstance(other, Bits) else self.value.type.const(other)
        return Mask(self.f, self.f.compare(predicate, self.value, operand))

    def real(self) -> Real:
        """The number that these bits are."""
        to = F32 if self.value.type.bits == 32 else F64
        return Real(self.f, self.f.bitcast(self.value, to.with_lanes(self.value.type.lanes)))


@record(slots=True)
class Real:
    """A floating value, scalar or vector, with operators that write instructions."""

    f: Function
    value: Value

    @property
    def type(self) -> Type:
        return self.value.type

    @property
    def format(self) -> Format:
        return FORMATS[self.type.scalar]

    @property
    def single(self) -> bool:
        return self.type.scalar == "float"

    @property
    def has_fma(self) -> bool:
        return self.f.module.has_fma

    @property
    def is_scaled_at_once(self) -> bool:
        """Whether there is an instruction for `scaled`, on all of the registers that hold this value."""
        return self.f.module.has_scale and self.type.lanes > 0 and self.type.lanes * self.type.bits % 512 == 0

    def scaled(self, n: Real) -> Real:
        """self * 2**n for whole n, register by register."""
        count = 512 // self.type.bits
        parts = [self.f.scaled(*(self.f.shuffle(x.value, x.value, range(k, k + count)) for x in (self, n))) for k in range(0, self.type.lanes, count)]
        while len(parts) > 1:
            parts = [self.f.shuffle(a, b, range(2 * a.type.lanes)) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return Real(self.f, parts[0])

    def const(self, number: float) -> Real:
        return Real(self.f, self.type.const(number))

    def lift(self, other: Real | float) -> Real:
        return other if isinstance(other, Real) else self.const(other)

    def __add__(self, other: Real | float) -> Real:
        return Real(self.f, self.f.add(self.value, self.lift(other).value))

    def __sub__(self, other: Real | float) -> Real:
        return Real(self.f, self.f.sub(self.value, self.lift(other).value))

    def __mul__(self, other: Real | float) -> Real:
        return Real(self.f, self.f.mul(self.value, self.lift(other).value))

    def __truediv__(self, other: Real | float) -> Real:
        return Real(self.f, self.f.div(self.value, self.lift(other).value))

    def __radd__(self, other: float) -> Real:
        return self.const(other) + self

    def __rsub__(self, other: float) -> Real:
        return self.const(other) - self

    def __rmul__(self, other: float) -> Real:
        return self.const(other) * self

    def __rtruediv__(self, other: float) -> Real:
        return self.const(other) / self

    def __neg__(self) -> Real:
        return Real(self.f, self.f.neg(self.value))

    def __abs__(self) -> Real:
        return self.unary("fabs")

    def __lt__(self, other: Real | float) -> Mask:
        return self.compare("olt", other)

    def __le__(self, other: Real | float) -> Mask:
        return self.compare("ole", other)

    def __gt__(self, other: Real | float) -> Mask:
        return self.compare("ogt", other)

    def __ge__(self, other: Real | float) -> Mask:
        return self.compare("oge", other)

    def compare(self, predicate: str, other: Real | float) -> Mask:
        return Mask(self.f, self.f.compare(predicate, self.value, self.lift(other).value))

    def equals(self, other: Real | float) -> Mask:
        return self.compare("oeq", other)

    def unary(self, intrinsic: str) -> Real:
        return Real(self.f, self.f.intrinsic(intrinsic, self.type, self.value))

    def bits(self) -> Bits:
        return Bits(self.f, self.f.bitcast(self.value, Type(f"i{self.type.bits}", self.type.lanes)))

    def convert(self, to: Type) -> Real:
        """The number in the other format."""
        if to.scalar == self.type.scalar:
            return self
        return Real(self.f, self.f.convert("fpext" if self.single else "fptrunc", self.value, to))


def where(condition: Mask, x: Real | float, y: Real | float) -> Real:
    """x where the condition holds, else y; at least one of them is a `Real`."""
    if isinstance(x, Real):
        return Real(x.f, x.f.select(condition.value, x.value, x.lift(y).value))
    assert isinstance(y, Real)
    return Real(y.f, y.f.select(condition.value, y.const(x).value, y.value))


def fma(x: Real, y: Real | float, z: Real | float) -> Real:
    """x * y + z, rounded once where the target can."""
    return Real(x.f, x.f.fma(x.value, x.lift(y).value, x.lift(z).value))


def least(x: Real, bound: Real | float) -> Real:
    """min(x, bound), one instruction on x86; NaN in x stays."""
    limit = x.lift(bound)
    return where(limit < x, limit, x)


def greatest(x: Real, bound: Real | float) -> Real:
    """max(x, bound), one instruction on x86; NaN in x stays."""
    limit = x.lift(bound)
    return where(limit > x, limit, x)


def sign_of(x: Real) -> Bits:
    """The sign bit alone."""
    return x.bits() & (1 << (x.type.bits - 1))


def flip_sign(x: Real, sign: Bits) -> Real:
    """x negated where the sign bit of `sign`, whose other bits are zero, is set."""
    return (x.bits() ^ sign).real()


def copy_sign(x: Real, sign: Real) -> Real:
    """The magnitude of one value with the sign of another."""
    return Real(x.f, x.f.intrinsic("copysign", x.type, x.value, sign.value))


def polynomial(x: Real, coefficients: Mapping[str, Sequence[float]] | Sequence[float]) -> Real:
    """The sum of coefficients[k] * x**k: Horner's rule, over two interleaved chains when it is long (Estrin's first step)."""
    row = coefficients[x.type.scalar] if isinstance(coefficients, Mapping) else coefficients
    if len(row) < 9:
        return _horner(x, x, row)
    square = x * x
    return fma(_horner(x, square, row[1::2]), x, _horner(x, square, row[0::2]))


def _horner(like: Real, x: Real, row: Sequence[float]) -> Real:
    total = like.const(row[-1])
    for coefficient in reversed(row[:-1]):
        total = fma(total, x, coefficient)
    return total
