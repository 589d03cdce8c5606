"""Expressions and kernels as text."""

from __future__ import annotations

from .expression import Const, Expr, Guard, IndexValue, Load, Reduce, Scalar, Variable


def format_expression(x: Expr) -> str:
    """An expression on one line, with everything spelled out."""
    if isinstance(x, Const):
        return str(x.value)
    if isinstance(x, Variable):
        return f"${x.position}"
    if isinstance(x, IndexValue):
        return f"[{x.index}]"
    if isinstance(x, Load):
        return f"{x.buffer.name}[{', '.join(map(str, x.index))}]"
    if isinstance(x, Guard):
        return f"({format_expression(x.body)} if {format_expression(x.predicate)} else {format_expression(x.otherwise)})"
    if isinstance(x, Reduce):
        axes = ", ".join(f"{axis.key} < {axis.size}" for axis in x.reduced)
        return f"{x.kind}({axes}: {format_expression(x.body)})"
    assert isinstance(x, Scalar)
    name = x.dtype if x.function == "cast" else x.function
    return f"{name}({', '.join(map(format_expression, x.operands))})"
