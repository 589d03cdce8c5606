"""Sizes as numbers, symbols or code.

Every formula of the engine uses only `+`, `-`, `*` and `//`, so one text serves Python ints (the plan), symbolic sizes (the memory
planner) and `Emitted` values (the generated code). A condition is therefore a number, 0 or 1.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, Self, TypeVar

from graphdl.record import record

from ..llvm import I1, I64, Function, Value


class Quantity(Protocol):
    """A size: an int, a symbolic polynomial with floor division, or code that computes one."""

    def __add__(self, other: Any, /) -> Self: ...
    def __radd__(self, other: Any, /) -> Self: ...
    def __sub__(self, other: Any, /) -> Self: ...
    def __rsub__(self, other: Any, /) -> Self: ...
    def __mul__(self, other: Any, /) -> Self: ...
    def __rmul__(self, other: Any, /) -> Self: ...
    def __floordiv__(self, other: Any, /) -> Self: ...
    def __rfloordiv__(self, other: Any, /) -> Self: ...


Q = TypeVar("Q", bound=Quantity)


@record(slots=True)
class Emitted:
    """A non-negative i64 under computation in a function; arithmetic on it writes instructions, on constants it folds."""

    f: Function
    value: Value

    def _with(self, other: Emitted | int, instruction: str, *, swapped: bool = False) -> Emitted:
        right = other.value if isinstance(other, Emitted) else I64.const(other)
        x, y = (right, self.value) if swapped else (self.value, right)
        if instruction == "mul" and "0" in (x.text, y.text):
            return Emitted(self.f, I64.const(0))
        if not (x.text + y.text).replace("-", "").isdigit():
            return Emitted(self.f, self.f.emit(I64, f"{instruction} {x.typed}, {y.text}"))
        a, b = int(x.text), int(y.text)
        folded = {"add": a + b, "sub": a - b, "mul": a * b}.get(instruction)
        return Emitted(self.f, I64.const(a // b if folded is None else folded))

    @property
    def flag(self) -> Value:
        """Whether it is not 0 (i1)."""
        return self.f.compare("ne", self.value, I64.const(0)) if self.value.text.startswith("%") else I1.const(self.value.text != "0")

    def __add__(self, other: Emitted | int) -> Emitted:
        return self._with(other, "add")

    def __radd__(self, other: int) -> Emitted:
        return self._with(other, "add", swapped=True)

    def __sub__(self, other: Emitted | int) -> Emitted:
        return self._with(other, "sub")

    def __rsub__(self, other: int) -> Emitted:
        return self._with(other, "sub", swapped=True)

    def __mul__(self, other: Emitted | int) -> Emitted:
        return self._with(other, "mul")

    def __rmul__(self, other: int) -> Emitted:
        return self._with(other, "mul", swapped=True)

    def __floordiv__(self, other: Emitted | int) -> Emitted:
        return self._with(other, "udiv")

    def __rfloordiv__(self, other: int) -> Emitted:
        return self._with(other, "udiv", swapped=True)


@record(slots=True)
class Shape(Generic[Q]):
    """The sizes of out[batch, m, n] = sum over k."""

    batch: Q
    m: Q
    n: Q
    k: Q

    def transposed(self) -> Shape[Q]:
        """The sizes of the transposed output."""
        return Shape(self.batch, self.n, self.m, self.k)


def at_most(x: Q, limit: int) -> Q:
    """1 where x <= limit, else 0."""
    return 1 // (1 + x // (limit + 1))


def at_least_one(x: Q) -> Q:
    """`x`, or 1 where it is 0: what others are divided by."""
    return x + 1 // (1 + x)


def choose(condition: Q, then: int, otherwise: int) -> Q:
    """`then` where the 0-or-1 number `condition` is 1, else `otherwise`."""
    return otherwise + condition * (then - otherwise)
