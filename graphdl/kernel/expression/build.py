"""Interned expressions: equal ones are one object, and exact identities are applied as they are built."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ...sizes import Dim, is_nonnegative
from ...types import is_floating
from ..functions import TABLE
from .node import Axis, Buffer, Const, Expr, Guard, Index, IndexValue, Load, Reduce, Scalar, Variable, counter

_interned: weakref.WeakValueDictionary[Any, Expr] = weakref.WeakValueDictionary()


def _intern(key: tuple[Any, ...], make: Callable[[], Expr]) -> Expr:
    known = _interned.get(key)
    if known is None:
        known = make()
        known.number = next(counter)
        _interned[key] = known
    return known


def const(value: float | int | bool, dtype: str) -> Expr:
    """A number of a dtype."""
    value = float(value) if is_floating(dtype) else bool(value) if dtype == "bool" else int(value)
    return _intern(("const", repr(value), dtype), lambda: Const(value, dtype))


def variable(position: int, dtype: str) -> Expr:
    """Operand `position` of a declared scalar expression."""
    return _intern(("variable", position, dtype), lambda: Variable(position, dtype))


def index_value(index: Dim) -> Expr:
    """An index polynomial as an int64 value."""
    return const(index, "int64") if isinstance(index, int) else _intern(("index", index), lambda: IndexValue(index))


def load(buffer: Buffer, index: Index) -> Expr:
    """The element of a buffer at an index."""
    return _intern(("load", id(buffer), index), lambda: Load(buffer, index))


def guard(predicate: Expr, body: Expr, otherwise: Expr) -> Expr:
    """`body` where `predicate` holds, else `otherwise`."""
    if isinstance(predicate, Const):
        return body if predicate.value else otherwise
    return _intern(("guard", predicate.number, body.number, otherwise.number), lambda: Guard(predicate, body, otherwise))


def identity(kind: str, dtype: str) -> float | int | bool:
    """What a reduction of no elements gives."""
    if kind in ("sum", "prod"):
        return 0 if kind == "sum" else 1
    if dtype == "bool":
        return kind == "min"
    if is_floating(dtype):
        return -math.inf if kind == "max" else math.inf
    limits = np.iinfo(dtype)
    return int(limits.min if kind == "max" else limits.max)


def reduce(kind: str, reduced: tuple[Axis, ...], body: Expr) -> Expr:
    """`body` combined by `kind` over axes; the body itself over none."""
    if not reduced:
        return body
    if any(axis.size == 0 for axis in reduced) and not kind.startswith("arg"):
        return const(identity(kind, body.dtype), body.dtype)  # decided here, so that nothing of the body is hoisted and read
    return _intern(("reduce", kind, reduced, body.number), lambda: Reduce(kind, reduced, body))


def cast(x: Expr, dtype: str) -> Expr:
    """A value converted to another dtype."""
    if x.dtype == dtype:
        return x
    if isinstance(x, Const) and math.isfinite(x.value):
        return const(x.value, dtype)
    return _intern(("cast", x.number, dtype), lambda: Scalar("cast", (x,), dtype))


def bitcast(x: Expr, dtype: str) -> Expr:
    """The same bits read as another dtype of the same width."""
    return x if x.dtype == dtype else _intern(("bitcast", x.number, dtype), lambda: Scalar("bitcast", (x,), dtype))


def apply(name: str, *arguments: Any) -> Expr:
    """`name` of the table applied to expressions; Python numbers take the dtype of the expressions beside them."""
    dtype = next(a.dtype for a in reversed(arguments) if isinstance(a, Expr))
    operands = tuple(a if isinstance(a, Expr) else const(a, dtype) for a in arguments)
    simpler = _simplify(name, operands)
    if simpler is not None:
        return simpler
    result = "bool" if TABLE[name].result == "bool" else dtype
    return _intern((name, *(operand.number for operand in operands)), lambda: Scalar(name, operands, result))


def compare(name: str, left: Dim, right: Dim) -> Expr:
    """A comparison of two index polynomials."""
    return apply(name, index_value(left), index_value(right))


def logical_and(left: Expr, right: Expr) -> Expr:
    """Both predicates."""
    return apply("bit_and", left, right)


def all_of(predicates: list[Expr]) -> Expr:
    """All predicates; true for none."""
    total = const(True, "bool")
    for predicate in predicates:
        total = logical_and(total, predicate)
    return total


def _simplify(name: str, operands: tuple[Expr, ...]) -> Expr | None:
    """Identities that are exact for every value, NaN and infinities included, and foldings of index comparisons."""
    left = operands[0]
    right = operands[-1]
    if name == "multiply":
        return right if is_const(left, 1) else left if is_const(right, 1) else None
    if name == "divide" and is_const(right, 1):
        return left
    if name == "power" and isinstance(right, Const) and right.value in (0, 1):
        return left if right.value else left.one()
    if name == "negative" and isinstance(left, Const) and left.dtype != "bool":
        return const(-left.value, left.dtype)
    if name == "bit_and" and left.dtype == "bool":
        if is_const(left, 1) or left is right:
            return right
        return left if is_const(right, 1) or is_const(left, 0) else right if is_const(right, 0) else None
    if name == "select" and isinstance(left, Const):
        return operands[1] if left.value else operands[2]
    if name in _RELATIONS and isinstance(left, Const) and isinstance(right, Const):
        return const(_RELATIONS[name](left.value, right.value), "bool")
    if name in ("less", "greater_equal") and isinstance(left, (IndexValue, Const)) and isinstance(right, (IndexValue, Const)) and left.dtype == "int64":
        return _compare_ranges(name, left, right)
    return None


def _compare_ranges(name: str, left: Expr, right: Expr) -> Expr | None:
    """`left < right` or `left >= right` decided from the ranges of the axes."""
    a = left.index if isinstance(left, IndexValue) else left.value  # type: ignore[attr-defined]
    b = right.index if isinstance(right, IndexValue) else right.value  # type: ignore[attr-defined]
    if is_nonnegative(b - a - 1):
        return const(name == "less", "bool")
    if is_nonnegative(a - b):
        return const(name != "less", "bool")
    return None


_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
}


def is_const(x: Expr, value: float) -> bool:
    """Whether an expression is this number, with this sign of zero."""
    return isinstance(x, Const) and x.value == value and math.copysign(1, x.value) == math.copysign(1, value)
