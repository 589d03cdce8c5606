"""Sizes to and from sympy, which is imported only here and only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .division import floordiv, maximum, minimum, mod
from .polynomial import Dim, product, symbol, terms_of

if TYPE_CHECKING:
    import sympy


def to_sympy(size: Dim) -> sympy.Expr:
    """A size as a sympy expression over positive integer symbols."""
    import sympy

    total: Any = sympy.Integer(0)
    for monomial, coefficient in terms_of(size):
        total += coefficient * sympy.Mul(*(atom.sympy() for atom in monomial))
    return total


def from_sympy(expression: Any) -> Dim:
    """A size from a sympy integer expression made of symbols, sums, products, natural powers, floor, Mod, Min and Max."""
    import sympy

    if expression.is_Integer:
        return int(expression)
    if expression.is_Symbol:
        return symbol(expression.name)
    arguments = expression.args
    if expression.is_Add:
        return sum((from_sympy(a) for a in arguments), 0)
    if expression.is_Mul:
        return product(from_sympy(a) for a in arguments)
    if expression.is_Pow and arguments[1].is_Integer and arguments[1] > 0:
        return product([from_sympy(arguments[0])] * int(arguments[1]))
    if isinstance(expression, sympy.floor):
        numerator, denominator = sympy.fraction(sympy.together(arguments[0]))
        return floordiv(from_sympy(numerator), from_sympy(denominator))
    for kind, function in ((sympy.Mod, mod), (sympy.Min, minimum), (sympy.Max, maximum)):
        if isinstance(expression, kind) and len(arguments) == 2:
            return function(from_sympy(arguments[0]), from_sympy(arguments[1]))
    raise ValueError(f"{expression} is not a size: only sums, products, floor, Mod, Min and Max of integer symbols are")
