"""Results that are nothing but their operands, one after another: a kernel over the domain of one operand may store them all."""

from __future__ import annotations

from ..ir import Node, Tensor
from ..record import record
from ..sizes import as_size, product
from ..types import Shape
from .expression import Axis, Index, fresh_axes
from .reading import Reading

MOST = 8  # pieces: their computations share the registers of one loop
RUN = 16  # elements of a piece that lie side by side; shorter runs are better written by one loop over the whole
NEAR = 48  # nodes below a piece that are looked at: as many as a kernel computes


@record
class Pieces:
    """So many pieces of one shape, one after another along an axis."""

    axis: int
    count: int
    shape: Shape

    def index(self, piece: int, axes: tuple[Axis, ...]) -> Index:
        """Where an element of a piece stands in the whole."""
        own = [as_size(axis) for axis in axes]
        return (*own[: self.axis], own[self.axis] + self.shape[self.axis] * piece, *own[self.axis + 1 :])

    def reading(self) -> Reading:
        """How the whole is computed over the domain of a piece: every operand is read in place."""
        axes = fresh_axes(self.shape)
        own = tuple(as_size(axis) for axis in axes)
        return Reading(axes, tuple((piece, own) for piece in range(self.count)), 0, None, False)


def pieces_of(node: Node) -> Pieces | None:
    """The pieces of a node's result; None if it is something else, or pieces that a kernel should not store one by one."""
    axis, shapes = node.op.joins, [operand.shape for operand in node.operands]
    if axis is None or not 2 <= len(shapes) <= MOST or any(shape != shapes[0] for shape in shapes):
        return None
    run = product(shapes[0][axis:])
    return None if isinstance(run, int) and run < RUN else Pieces(axis, len(shapes), shapes[0])


def share_reads(node: Node) -> bool:
    """Whether two pieces are computed from one tensor of their shape, elementwise: then one kernel for all of them reads it once."""
    seen: set[Tensor] = set()
    for operand in node.operands:
        own = _computed_from(operand)
        if own & seen:
            return True
        seen |= own
    return False


def _computed_from(piece: Tensor) -> set[Tensor]:
    """The tensors of the shape of a piece from which elementwise ops compute it, itself included."""
    found: set[Tensor] = set()
    stack = [piece]
    while stack and len(found) < NEAR:
        tensor = stack.pop()
        node = tensor.node
        if tensor.shape != piece.shape or tensor in found or not (node.operands or node.op.is_input or node.op.is_parameter):
            continue
        found.add(tensor)
        stack += node.operands if node.op.pattern == "pointwise" else ()
    return found
