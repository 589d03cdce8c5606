"""How an op reads its operands: the indices at which one element of its result needs them, from its own lowering."""

from __future__ import annotations

import functools
import weakref
from typing import Any

from ..ir import Node
from ..record import record
from ..sizes import Atom, Dim, as_size, substitute
from ..types import TensorType
from .expression import Axis, Const, Expr, Guard, Index, IndexValue, Reduce, Scalar, Variable, fresh_axes, variable, walk
from .functions import TABLE

REMEMBERED = 4096  # readings of ops on operands of some types
PLAIN = ("pointwise", "injective", "reduction", "contraction")  # patterns of ops that hold no graphs, and so no arrays: they may be kept


@record
class Reading:
    """For the element at `axes`: the operand positions and indices read, the scalar operations done, and on how many
    leading axes its reductions depend (`depth`; None if it has none, the rank plus one if they are no leading axes)."""

    axes: tuple[Axis, ...]
    reads: tuple[tuple[int, Index], ...]
    flops: int
    depth: int | None
    is_movement: bool

    def at(self, index: Index) -> list[tuple[int, Index]]:
        """The operand positions and indices read for the element at `index`."""
        values: dict[Atom, Dim] = dict(zip(self.axes, index, strict=True))
        return [(position, tuple(substitute(part, values) for part in read)) for position, read in self.reads]

    @property
    def is_free(self) -> bool:
        """Whether it computes nothing: it moves elements, fills or counts."""
        return self.is_movement


class _Recorder:
    """Stands for an operand while an op lowers itself, and notes the indices asked for."""

    def __init__(self, position: int, type: TensorType, reads: dict[tuple[int, Index], None]) -> None:
        self.position, self.type, self.reads = position, type, reads

    def __call__(self, index: Index) -> Expr:
        self.reads[self.position, index] = None
        return variable(self.position, self.type.dtype)


_known: weakref.WeakKeyDictionary[Node, Reading] = weakref.WeakKeyDictionary()


def reading_of(node: Node) -> Reading:
    """The reading of a node whose op lowers to an expression."""
    if node not in _known:
        _known[node] = _read(node)
    return _known[node]


def _read(node: Node) -> Reading:
    is_plain = node.operands and node.op.has_text and node.op.pattern in PLAIN
    read = _read_op if is_plain else _read_op.__wrapped__
    return read(node.op, node.output.type, tuple(operand.type for operand in node.operands))


@functools.lru_cache(REMEMBERED)
def _read_op(op: Any, type: TensorType, operands: tuple[TensorType, ...]) -> Reading:
    """The same for any node of an op on operands of these types: equal layers are read once."""
    reads: dict[tuple[int, Index], None] = {}
    axes = fresh_axes(type.shape)
    recorders = [_Recorder(k, operand, reads) for k, operand in enumerate(operands)]
    result: Expr = op.lower(type, tuple(_sizes(axes)), *recorders)
    inner = list(walk(result))
    flops = sum(TABLE[x.function].flops for x in inner if isinstance(x, Scalar)) + sum(isinstance(x, Guard) for x in inner)
    movement = isinstance(result, (Variable, Const, IndexValue)) or (isinstance(result, Scalar) and result.function == "cast" and not reads)
    return Reading(axes, tuple(reads), flops, _depth(axes, [x for x in inner if isinstance(x, Reduce)], reads), movement)


def _sizes(axes: tuple[Axis, ...]) -> list[Dim]:
    return [as_size(axis) for axis in axes]


def _depth(axes: tuple[Axis, ...], reductions: list[Reduce], reads: dict[tuple[int, Index], None]) -> int | None:
    if not reductions:
        return None
    from .expression import axes_of

    reduced = {axis for x in reductions for axis in x.reduced}
    with_reduced = [index for _, index in reads if any(axes_of(part) & reduced for part in index)]
    kept = {axis for index in with_reduced for part in index for axis in axes_of(part)} - reduced
    leading = set(axes[: len(kept)])
    return len(kept) if kept == leading else len(axes) + 1
