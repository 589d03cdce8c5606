"""Comparisons of indices, such as the borders of an image, as bounds of an axis."""

from __future__ import annotations

from graphdl.kernel.expression import Axis, Const, Expr, IndexValue, Loaded, Scalar
from graphdl.sizes import Dim, atoms_of

from .affine import linear_part

ORDERED = {"less", "less_equal", "greater", "greater_equal"}


def bound_of(condition: Expr, axis: Axis) -> tuple[int, Dim] | None:
    """(factor, rest): the condition holds where factor * axis + rest is positive. None for one that is no such comparison of indices."""
    if not isinstance(condition, Scalar) or condition.function not in ORDERED:
        return None
    left, right = (_index_of(operand) for operand in condition.operands)
    if left is None or right is None:
        return None
    smaller, larger = (left, right) if condition.function.startswith("less") else (right, left)
    bound = larger - smaller + int(condition.function.endswith("equal"))
    parts = linear_part(bound, axis)
    if parts is None or not isinstance(parts[0], int) or any(isinstance(atom, Loaded) for atom in atoms_of(bound)):
        return None
    return parts[0], parts[1]


def _index_of(x: Expr) -> Dim | None:
    """The index that an integer expression is, if it is one."""
    if isinstance(x, IndexValue):
        return x.index
    return int(x.value) if isinstance(x, Const) and x.dtype == "int64" else None
