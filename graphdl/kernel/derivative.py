"""Symbolic differentiation of scalar expressions, by the chain rule over the closed table of functions."""

from __future__ import annotations

from .expression import Const, Expr, Scalar, Variable, apply, const, is_const, walk
from .functions import TABLE


def derivative(expression: Expr, position: int) -> Expr:
    """The partial derivative of a declared scalar expression by its operand `position`."""
    zero = const(0, expression.dtype)
    slopes: dict[int, Expr] = {}
    for x in walk(expression):
        slopes[x.number] = _slope(x, slopes, position, zero)
    return slopes[expression.number]


def _slope(x: Expr, slopes: dict[int, Expr], position: int, zero: Expr) -> Expr:
    if isinstance(x, Variable):
        return const(1, zero.dtype) if x.position == position else zero
    if isinstance(x, Const) or not isinstance(x, Scalar):
        return zero
    if x.function == "select":
        condition, then, otherwise = x.operands
        a, b = slopes[then.number], slopes[otherwise.number]
        return a if a is b else apply("select", condition, a, b)
    partials = TABLE[x.function].partials
    if partials is None:
        return zero
    total = zero
    for operand, partial in zip(x.operands, partials, strict=True):
        inner = slopes[operand.number]
        if is_const(inner, 0):
            continue
        outer = partial(*x.operands)
        term = outer * inner
        total = term if is_const(total, 0) else total + term
    return total
