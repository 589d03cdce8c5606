"""Sums of tensors that are placed side by side in zeros are those tensors joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.join import concatenate
from graphdl.ops.pad import Place
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import map_nodes


@record
class JoinPlaces(Pass):
    """Places that fill a tensor along one axis, as gradients of its slices do. A zero keeps its sign, which adding +0 took.

    place(a, [:, 0:128]) + place(b, [:, 128:256]) -> concatenate([a, b], 1)
    """

    name: ClassVar[str] = "joining"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 65

    def run(self, graph: Graph) -> Graph:
        return map_nodes(graph, _joined, self.name)


def _joined(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    if node.op.name != "add":
        return None
    places = [summand for operand in operands for summand in _summands(operand)]
    if not all(isinstance(place.node.op, Place) for place in places):
        return None
    axis = next((axis for axis in range(node.output.ndim) if _fill(places, axis)), None)
    if axis is None:
        return None
    with derived("joining", parents=[node]):
        return (concatenate([place.node.operands[0] for place in sorted(places, key=lambda place: _start(place, axis))], axis),)


def _summands(x: Tensor) -> Iterator[Tensor]:
    """What a sum adds up: places cost nothing, so it does not matter who reads a part of the sum as well."""
    if x.node.op.name != "add":
        yield x
        return
    for operand in x.node.operands:
        yield from _summands(operand)


def _fill(places: Sequence[Tensor], axis: int) -> bool:
    """Whether places lie one behind the other along an axis, from its begin to its end, and are whole along all others."""
    if not all(_is_run(place, axis) for place in places):
        return False
    sizes = {_start(place, axis): place.node.operands[0].shape[axis] for place in places}
    end = 0
    while isinstance(size := sizes.pop(end, None), int) and size:
        end += size
    return not sizes and end == places[0].shape[axis]


def _is_run(place: Tensor, axis: int) -> bool:
    op, (x,) = place.node.op, place.node.operands
    others = [k for k in range(place.ndim) if k != axis]
    return op.steps[axis] == 1 and all(op.starts[k] == 0 and op.steps[k] == 1 and x.shape[k] == place.shape[k] for k in others)


def _start(place: Tensor, axis: int) -> int:
    start = place.node.op.starts[axis]
    return start if isinstance(start, int) else -1
