"""Constant folding: what is known when the program is compiled is computed then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from graphdl.errors import GraphdlError
from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.source import Constant, Full, full, full_value, make_constant
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import rewrite
from graphdl.sizes import Size
from graphdl.types import TensorType, is_floating, numpy_dtype

Array = np.ndarray[Any, Any]
SMALL = 1024  # elements that a program may hold without being asked to
LARGE = 1 << 22  # elements that take too long to compute now


@record
class Fold(Pass):
    """Nodes whose operands are all constants become constants; where all elements are one number, fills.

    full(2) * full(3) -> full(6)    exp(constant([0, 1])) -> constant([1, 2.7182817])
    """

    name: ClassVar[str] = "fold"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 20

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, folded, self.name)


def folded(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """The node's result as a constant, or None where something is not known yet or too large."""
    for x in operands:
        if not isinstance(x.node.op, Full | Constant):
            return None
    if len(node.outputs) != 1 or not (operands or isinstance(node.op, Constant)) or _is_symbolic(tuple(node.op.attributes.values())):
        return None
    with derived("fold", parents=[node]):
        return _number(node, operands) if _is_numbers(node, operands) else _array(node, operands)


def _is_numbers(node: Node, operands: tuple[Tensor, ...]) -> bool:
    """Whether one element tells all."""
    return bool(operands) and node.op.pattern == "pointwise" and all(full_value(x) is not None for x in operands)


def _number(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    value = _evaluate(node, [np.asarray(full_value(x), numpy_dtype(x.dtype)) for x in operands])
    return None if value is None else (_fill(value.item(), node.output.type),)


def _array(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    if not _is_worthwhile(node, operands):
        return None
    result = _evaluate(node, [np.asarray(x.node.op.evaluate()) for x in operands])
    if result is None:
        return None
    value = _uniform(result)
    if value is not None:
        return (_fill(value, node.output.type),)
    return (make_constant(result)(),) if operands else None


def _is_worthwhile(node: Node, operands: tuple[Tensor, ...]) -> bool:
    """Whether all sizes are numbers and the program does not get much larger than it is."""
    shapes = [tensor.shape for tensor in (node.output, *operands)]
    if any(map(_is_symbolic, shapes)) or any(_is_symbolic(x.node.op.attributes.get("value")) for x in operands):
        return False
    sizes = [math.prod(size for size in shape if isinstance(size, int)) for shape in shapes]
    held = [size for size, x in zip(sizes[1:], operands, strict=True) if isinstance(x.node.op, Constant)]
    return max(sizes) <= LARGE and (not operands or sizes[0] <= max([SMALL, *held]))


def _is_symbolic(value: Any) -> bool:
    return isinstance(value, Size) or (isinstance(value, tuple) and any(map(_is_symbolic, value)))


def _evaluate(node: Node, arrays: list[Array]) -> Array | None:
    """The op's own meaning; None where it raises, as the program then must when it is called."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(node.op.evaluate(*arrays), numpy_dtype(node.output.dtype))
    except GraphdlError:
        return None


def _uniform(array: Array) -> float | None:
    """The number that all elements are, to the bit."""
    if array.size == 0:
        return 0
    first = array.flat[0]
    if not (array == first).all() or (first == 0 and is_floating(array.dtype.name) and np.signbit(array).any() != np.signbit(array).all()):
        return None
    return np.asarray(first).item()  # type: ignore[no-any-return]


def _fill(value: float, type: TensorType) -> Tensor:
    return full(type.shape, value, type.dtype)
