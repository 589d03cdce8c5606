"""What can be told of a tensor's elements while a graph is declared: numbers, and symbolic sizes among integers.

This is how shape arithmetic (Shape, Gather, Concat, Mul ...) is folded: it is graph like all else, and where a size is
asked for, the graph below it is evaluated on arrays whose elements are sizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import GraphdlError
from ..ir import Node, Tensor
from ..sizes import Dim, Size, is_nonnegative, maximum, minimum, product
from ..types import is_floating

Array = np.ndarray[Any, Any]
LARGEST = 1 << 24  # elements: what is larger is no size or option


class Unknown(Exception):
    """A comparison of sizes that only a call decides."""


class Values:
    """The known elements of tensors, each computed once."""

    def __init__(self) -> None:
        self._found: dict[Tensor, Array | None] = {}

    def of(self, tensor: Tensor) -> Array | None:
        """The elements, as numbers, or as objects where symbolic sizes are among them; None where they depend on an input."""
        stack = [tensor.node]
        while stack:
            node = stack[-1]
            waiting = [operand.node for operand in node.operands if operand not in self._found]
            if waiting and node.outputs[0] not in self._found:
                stack += waiting
                continue
            stack.pop()
            if node.outputs[0] not in self._found:
                self._found.update(zip(node.outputs, self._node(node), strict=True))
        return self._found[tensor]

    def _node(self, node: Node) -> Sequence[Array | None]:
        operands = [self._found[operand] for operand in node.operands]
        unknown = [None] * len(node.outputs)
        if node.op.is_input or any(not _is_small(tensor) for tensor in (*node.operands, *node.outputs)):
            return unknown
        arrays = [array for array in operands if array is not None]
        if len(arrays) < len(operands):
            return unknown
        try:
            result = _evaluate(node, arrays)
        except (Unknown, GraphdlError, ArithmeticError):
            return unknown
        return result if isinstance(result, tuple) else (result,)


def missing_inputs(tensor: Tensor) -> tuple[str, ...]:
    """The names of the placeholders that a tensor depends on."""
    from ..ir.graph import topological_order

    return tuple(str(node.output.name) for node in topological_order([tensor]) if node.op.is_input)


def _is_small(tensor: Tensor) -> bool:
    size = product(tensor.shape)
    return isinstance(size, int) and size <= LARGEST


def _evaluate(node: Node, arrays: list[Array]) -> Any:
    if not _is_symbolic(node.op) and all(array.dtype != object for array in arrays):
        with np.errstate(all="ignore"):
            found = node.op.evaluate(*arrays)
        return tuple(map(np.asarray, found)) if isinstance(found, tuple) else np.asarray(found)
    if node.op.name in _MOVING:
        return np.asarray(node.op.evaluate(*arrays), object)
    if node.op.name not in _ON_SIZES:
        raise Unknown
    return _plain(np.asarray(_ON_SIZES[node.op.name](node, *arrays), object))


def _is_symbolic(op: Any) -> bool:
    return any(isinstance(getattr(op, one.name), Size) for one in dataclasses.fields(op))


def _plain(array: Array) -> Array:
    """The array with numbers for elements where no size is symbolic."""
    if any(isinstance(one, Size) for one in array.flat):
        return array
    return array.astype("bool" if all(isinstance(one, (bool, np.bool_)) for one in array.flat) else "int64")


def _full(node: Node) -> Array:
    if is_floating(node.op.dtype):
        raise Unknown
    return np.full(node.op.shape, node.op.value, object)


def _cast(node: Node, x: Array) -> Array:
    if is_floating(node.op.dtype) or node.op.dtype == "bool":
        raise Unknown
    return x


def _choose(node: Node, condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition.astype("bool"), x.astype(object), y.astype(object))


def _divide(left: Dim, right: Dim) -> Dim:
    if not isinstance(right, Size) and right <= 0:
        raise Unknown
    return left // right


def _below(left: Dim, right: Dim) -> bool:
    """left < right, where that can be told."""
    if is_nonnegative(right - left - 1):
        return True
    if is_nonnegative(left - right):
        return False
    raise Unknown


def _same(left: Dim, right: Dim) -> bool:
    """left == right. Sizes are taken for different unless they are the same polynomial, but not from numbers they can be."""
    if left == right:
        return True
    if isinstance(left - right, int) or _is_apart(left, right) or _is_apart(right, left):
        return False
    raise Unknown


def _is_apart(left: Dim, right: Dim) -> bool:
    return is_nonnegative(left - right - 1)


def _magnitude(size: Dim) -> Dim:
    if isinstance(size, int):
        return abs(size)
    if not is_nonnegative(size):
        raise Unknown
    return size


def _each(function: Callable[..., Any]) -> Callable[..., Array]:
    ufunc = np.frompyfunc(function, function.__code__.co_argcount, 1)
    return lambda node, *arrays: np.asarray(ufunc(*(_with_ints(array) for array in arrays)), object)


def _with_ints(array: Array) -> Array:
    """The array with Python's ints, which do not overflow."""
    return array if array.dtype == object else array.astype(object)


_MOVING = {"reshape", "broadcast_to", "transpose", "slice", "concatenate", "take", "stop_gradient"}
_ON_SIZES: dict[str, Callable[..., Any]] = {
    "full": _full,
    "cast": _cast,
    "where": _choose,
    "add": _each(lambda x, y: x + y),
    "subtract": _each(lambda x, y: x - y),
    "multiply": _each(lambda x, y: x * y),
    "negative": _each(lambda x: -x),
    "abs": _each(_magnitude),
    "floor_divide": _each(_divide),
    "remainder": _each(lambda x, y: x - y * _divide(x, y)),
    "maximum": _each(maximum),
    "minimum": _each(minimum),
    "less": _each(_below),
    "greater": _each(lambda x, y: _below(y, x)),
    "less_equal": _each(lambda x, y: not _below(y, x)),
    "greater_equal": _each(lambda x, y: not _below(x, y)),
    "equal": _each(_same),
    "not_equal": _each(lambda x, y: not _same(x, y)),
    "sum": lambda node, x: np.sum(x, axis=tuple(node.op.axes)),
    "prod": lambda node, x: np.prod(x, axis=tuple(node.op.axes)),
}
