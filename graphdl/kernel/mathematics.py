"""Scalar expressions as mathematics: the sympy expression that one stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..sizes import Atom, Dim, terms_of
from .expression import Axis, Const, Expr, Guard, IndexValue, Load, Loaded, Reduce, Scalar, Variable, walk
from .functions import TABLE

if TYPE_CHECKING:
    import sympy


def to_sympy(expression: Expr) -> sympy.Basic:
    """The meaning of an expression for real numbers.

    Operand k of a declared expression is the real symbol `x<k>` (Boolean for bool), a load the buffer's name applied to
    its index, a sum or product of the kernel language sympy's over the same index, and any other reduction a function of
    that name. Rounding and the limits of dtypes are not expressed.
    """
    known: dict[int, Any] = {}
    for x in walk(expression):
        known[x.number] = _convert(x, known)
    return known[expression.number]


def operand_symbol(position: int, dtype: str = "float64") -> sympy.Symbol:
    """The symbol for operand `position` of a declared expression."""
    import sympy

    return sympy.Symbol(f"x{position}") if dtype == "bool" else sympy.Symbol(f"x{position}", real=True)


def _convert(x: Expr, known: dict[int, Any]) -> Any:
    import sympy

    if isinstance(x, Const):
        return _number(x)
    if isinstance(x, Variable):
        return operand_symbol(x.position, x.dtype)
    if isinstance(x, IndexValue):
        return _index(x.index, known)
    if isinstance(x, Load):
        return sympy.Function(x.buffer.name)(*(_index(part, known) for part in x.index))
    operands = [known[operand.number] for operand in x.operands]
    if isinstance(x, Guard):
        predicate, body, otherwise = operands
        return sympy.Piecewise((body, predicate), (otherwise, True))
    if isinstance(x, Reduce):
        return _reduction(x, operands[0])
    assert isinstance(x, Scalar)
    if x.function == "cast" and x.operands[0].dtype == "bool":
        return sympy.Piecewise((1, operands[0]), (0, True))
    return TABLE[x.function].sympy(sympy, *operands)


def _number(x: Const) -> Any:
    """Whole numbers and short fractions exactly, others as the float that they are."""
    import sympy

    if x.dtype == "bool":
        return sympy.true if x.value else sympy.false
    if x.value != x.value or abs(x.value) == float("inf"):
        return sympy.Float(x.value)
    numerator, denominator = float(x.value).as_integer_ratio()
    return sympy.Rational(numerator, denominator) if denominator <= 1024 else sympy.Float(x.value)


def _index(index: Dim, known: dict[int, Any]) -> Any:
    import sympy

    total: Any = sympy.Integer(0)
    for monomial, coefficient in terms_of(index):
        total += coefficient * sympy.Mul(*(_atom(atom, known) for atom in monomial))
    return total


def _atom(atom: Atom, known: dict[int, Any]) -> Any:
    import sympy

    if isinstance(atom, Loaded):
        return known[atom.value.number]
    return sympy.Symbol(atom.key, integer=True) if isinstance(atom, Axis) else atom.sympy()


def _reduction(x: Reduce, body: Any) -> Any:
    import sympy

    bounds = [(sympy.Symbol(axis.key, integer=True), 0, _index(axis.size, {}) - 1) for axis in x.reduced]
    if x.kind in ("sum", "prod"):
        return (sympy.Sum if x.kind == "sum" else sympy.Product)(body, *bounds)
    return sympy.Function(x.kind)(body, *(sympy.Tuple(*bound) for bound in bounds))
