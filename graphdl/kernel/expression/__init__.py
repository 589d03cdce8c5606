"""Scalar expressions: what a kernel computes at one point of its domain.

Expressions are immutable and interned, so equal ones are one object and `is` compares them.
"""

from .build import all_of, apply, bitcast, cast, compare, const, guard, identity, index_value, is_const, load, logical_and, reduce, variable
from .node import Axis, Buffer, Const, Counter, Expr, Guard, Index, IndexValue, Load, Reduce, Scalar, Variable, axes_of, fresh_axes, fresh_axis
from .traversal import Loaded, index_atoms, indices_of, inline, loaded_index, parts_of, rebuild, reporting, substitute_axes, transform, walk

__all__ = [
    "Axis", "Buffer", "Const", "Counter", "Expr", "Guard", "Index", "IndexValue", "Load", "Loaded", "Reduce", "Scalar", "Variable", "all_of", "apply",
    "axes_of", "bitcast", "cast", "compare", "const", "fresh_axes", "fresh_axis", "guard", "identity", "index_atoms", "index_value", "indices_of", "inline",
    "is_const", "load", "loaded_index", "logical_and", "parts_of", "rebuild", "reduce", "reporting", "substitute_axes", "transform", "variable", "walk",
]  # fmt: skip
