"""Weights that are held smaller than they are computed with: quantised in blocks, or as short floats."""

from __future__ import annotations

from graphdl.ir import Node, Tensor
from graphdl.kernel.reading import reading_of
from graphdl.ops.source import Constant
from graphdl.types import numpy_dtype

ELEMENTWISE = ("pointwise", "injective")
MUCH = 6  # scalar operations of one node that unpacking does not take, such as a division or an exponential


class Unpacking:
    """Which nodes only unpack parameters: a product computes them as it reads them, so that the wide form never goes through memory."""

    def __init__(self) -> None:
        self._sources: dict[Node, frozenset[Tensor] | None] = {}

    def is_unpacked(self, node: Node) -> bool:
        """Whether all that the node is computed from is held in memory, and takes less of it than the result would."""
        sources = self._of(node)
        return sources is not None and sum(map(_bytes, sources)) < _bytes(node.output)

    def _of(self, node: Node) -> frozenset[Tensor] | None:
        """The parameters and constants that a node is computed from element by element, or None if there is anything else."""
        pending = [node]
        while pending:
            one = pending[-1]
            missing = [operand.node for operand in one.operands if operand.node not in self._sources]
            if one not in self._sources and missing and _is_elementwise(one):
                pending += missing
                continue
            pending.pop()
            self._sources.setdefault(one, self._joined(one))
        return self._sources[node]

    def _joined(self, node: Node) -> frozenset[Tensor] | None:
        if node.op.is_parameter or isinstance(node.op, Constant):
            return frozenset(node.outputs)
        if not _is_elementwise(node):
            return None
        found = [self._sources[operand.node] for operand in node.operands]
        return None if None in found else frozenset().union(*(one for one in found if one is not None))


def _is_elementwise(node: Node) -> bool:
    """Whether every element is little work by itself."""
    return node.op.pattern in ELEMENTWISE and reading_of(node).depth is None and reading_of(node).flops < MUCH


def _bytes(tensor: Tensor) -> int:
    """The bytes of a tensor of known sizes; of others none can be told."""
    size = tensor.size
    return size * numpy_dtype(tensor.dtype).itemsize if isinstance(size, int) else 0
