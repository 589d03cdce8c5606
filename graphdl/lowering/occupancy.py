"""What lies in the arena while a program runs, at given sizes, told by the nodes of its graph in the order in which they are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from ..ir import Graph, Node, Tensor
from ..kernel.counting import bytes_moved, bytes_of_type, flops_of
from ..kernel.expression import Buffer
from ..kernel.program import Kernel, Step, read_buffers
from ..program import CompiledGraph
from ..record import record
from ..sizes import Dim, evaluate
from .lower import lower_graph
from .memory import Interval, Timeline, held_bytes, plan, temporaries_of, tenancies
from .order import ordered

Bytes = np.ndarray[tuple[int], np.dtype[np.int64]]


@record
class Held:
    """A tensor in the arena: its bytes, and the positions of the nodes that write or read it, in order."""

    tensor: Tensor
    size: int
    touched: tuple[int, ...]


class Occupancy:
    """The arena of a compiled graph at `sizes`. Positions count the nodes of `order`."""

    def __init__(self, compiled: CompiledGraph, sizes: Mapping[str, int]) -> None:
        self.graph: Graph = compiled.graph
        self.sizes = sizes
        self.order: Sequence[Node] = ordered(compiled.graph, dict(zip(compiled.updated, compiled.new_values, strict=True)))
        self.position = {node: k for k, node in enumerate(self.order)}
        self.program = lower_graph(compiled)
        self.timeline = Timeline(self.program)
        self.beside = self._number(held_bytes(self.program))

    @cached_property
    def lives(self) -> list[Interval]:
        """The life of every temporary, with its bytes as a number."""
        return self.timeline.intervals({buffer: self._number(bytes_of_type(buffer.type)) for buffer in temporaries_of(self.program)})

    @cached_property
    def arena(self) -> int:
        """The bytes of the arena as planned, without what kernels need for themselves."""
        return self._number(plan(self.lives).total)

    @cached_property
    def live(self) -> Bytes:
        """For every position, the bytes that are needed while it is computed."""
        moments = np.zeros(max((life.last for life in self.lives), default=0) + 2, np.int64)
        for tenancy in tenancies(self.lives):
            moments[tenancy.first] += self._number(tenancy.size)
            moments[tenancy.last + 1] -= self._number(tenancy.size)
        moments = np.cumsum(moments)
        found = np.zeros(len(self.order) + 1, np.int64)
        for step, position in self._placed():
            begin, end = self.timeline.span(step)
            found[position] = max(found[position], moments[begin : end + 1].max(initial=0))
        return found

    @cached_property
    def held(self) -> dict[Tensor, Held]:
        """What kernels have written into the arena, by tensor."""
        size = {life.buffer: self._number(life.size) for life in self.lives}
        touched: dict[Buffer, list[int]] = {}
        owner: dict[Buffer, Tensor] = {}
        for step, position in self._placed():
            for buffer in {*(one.storage for one in step.written), *read_buffers(step)}:
                touched.setdefault(buffer, []).append(position)
            owner |= dict(_results(step))
        return {tensor: Held(tensor, size[buffer], tuple(sorted(touched[buffer]))) for buffer, tensor in owner.items() if buffer in size}

    @cached_property
    def work(self) -> dict[Node, tuple[int, int]]:
        """Scalar operations and bytes moved of every node that consists of kernels only."""
        found: dict[Node, tuple[int, int]] = {}
        other = set()
        for step, position in self._placed():
            node = self.order[position]
            if isinstance(step, Kernel) and step.node is node:
                flops, moved = found.get(node, (0, 0))
                found[node] = flops + self._number(flops_of(step)), moved + self._number(bytes_moved(step))
            else:
                other.add(node)
        return {node: amounts for node, amounts in found.items() if node not in other}

    def largest(self, count: int) -> list[Held]:
        """The largest tensors that are needed where the most is."""
        peak = int(self.live.argmax())
        there = [one for one in self.held.values() if one.touched[0] <= peak <= one.touched[-1]]
        return sorted(there, key=lambda one: (-one.size, one.touched))[:count]

    def _placed(self) -> Iterator[tuple[Step, int]]:
        """Every step of the program with the position of its node; copies at the end stand behind all."""
        for step in self.program.steps:
            node = getattr(step, "node", None) or next((one for one in step.origins if one in self.position), None)
            yield step, self.position.get(node, len(self.order)) if node is not None else len(self.order)

    def _number(self, size: Dim) -> int:
        return evaluate(size, self.sizes)


def _results(step: Step) -> Iterator[tuple[Buffer, Tensor]]:
    """The storages that a kernel fills with results of its node."""
    node = getattr(step, "node", None)
    buffers = list(dict.fromkeys(step.written)) if isinstance(step, Kernel) else []
    if node is not None and len(buffers) == len(node.outputs):
        for buffer, tensor in zip(buffers, node.outputs, strict=True):
            if buffer.type == tensor.type and buffer.is_whole:
                yield buffer.storage, tensor
