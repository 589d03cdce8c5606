"""Derived graphs cut from what they were derived from: which values of the body a derivative needs, and which of them to keep.

A value is kept where it is computed, or computed again where it is needed: the latter where that takes few operations and
does not make more values to be kept (rematerialisation; the cut is greedy, from the last value back).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..ir import Node, Tensor
from ..kernel.reading import reading_of
from ..sizes import Dim, is_nonnegative
from ..types import numpy_dtype
from .region import dependents

CHEAP = 10  # scalar operations below which computing again costs less than keeping
AGAIN = ("pointwise", "injective")


def kept_values(ends: Sequence[Tensor], fresh: Sequence[Tensor], varying: Sequence[Tensor], at_hand: Iterable[Tensor]) -> list[Tensor]:
    """The values to be kept, so that `ends` can be computed from them, from `fresh` placeholders and from what is `at_hand`.

    `varying` are the body's inputs that change from step to step; what does not depend on them is never kept.
    """
    derived = dependents(ends, fresh)
    own = {tensor for node in derived for tensor in node.outputs} | set(fresh)
    read = [*(operand for node in derived for operand in node.operands), *ends]
    return _Cut(varying, at_hand).cut(dict.fromkeys(tensor for tensor in read if tensor not in own))


class _Cut:
    def __init__(self, varying: Sequence[Tensor], at_hand: Iterable[Tensor]) -> None:
        self.varying = varying
        self.at_hand = set(at_hand)
        self.needed: dict[Tensor, None] = {}

    def cut(self, needed: dict[Tensor, None]) -> list[Tensor]:
        changing = {tensor for node in dependents(needed, self.varying) for tensor in node.outputs} | set(self.varying)
        self.needed = {tensor: None for tensor in needed if tensor in changing}
        kept: list[Tensor] = []
        while self.needed:
            tensor = max(self.needed, key=lambda one: (one.node.number, one.index))
            del self.needed[tensor]
            if tensor in self.at_hand:
                continue
            instead = [operand for operand in tensor.node.operands if operand in changing]
            if self._is_worth_computing(tensor, instead):
                self.needed.update(dict.fromkeys(instead))
            else:
                kept.append(tensor)
        return sorted(kept, key=lambda one: (one.node.number, one.index))

    def _is_worth_computing(self, tensor: Tensor, operands: Sequence[Tensor]) -> bool:
        if not operands or not _is_cheap(tensor.node):
            return False
        extra: Dim = 0
        for operand in dict.fromkeys(operands):
            if operand not in self.needed and operand not in self.at_hand:
                extra = extra + _bytes(operand)
        return is_nonnegative(_bytes(tensor) - extra)


def _is_cheap(node: Node) -> bool:
    return node.op.pattern in AGAIN and reading_of(node).flops < CHEAP


def _bytes(tensor: Tensor) -> Dim:
    return tensor.size * numpy_dtype(tensor.dtype).itemsize
