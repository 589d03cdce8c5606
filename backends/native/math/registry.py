"""The declaration of an elementary function."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from ..llvm import Function, Value
from .expression import Real

P = ParamSpec("P")

FUNCTIONS: dict[str, Callable[..., Value]] = {}
BOUNDS: dict[str, dict[str, float]] = {}


def function(name: str, *, ulp32: float, ulp64: float) -> Callable[[Callable[P, Real]], Callable[P, Real]]:
    """Declare an elementary function with its error bounds in units in the last place of float and double."""

    def declare(emitter: Callable[P, Real]) -> Callable[P, Real]:
        def emit(f: Function, *operands: Value) -> Value:
            reals = [Real(f, operand) for operand in operands]
            return emitter(*reals).value  # type: ignore[call-arg, arg-type]

        emit.__name__, emit.__doc__ = name, f"{emitter.__doc__}\n\nWithin {ulp32} ulp in float and {ulp64} ulp in double, on every target."
        FUNCTIONS[name] = emit
        BOUNDS[name] = {"float": ulp32, "double": ulp64}
        return emitter

    return declare
