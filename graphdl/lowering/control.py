"""Bodies as programs inside the program: what they read and write is memory of the outer one, or one step's part of it.

A carry has one place, which holds the value that a step begins with. Its next value is computed there where nothing can tell
the difference, else it is copied there at the end of the step. Stacked results are computed in their places in the stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir import Graph, Tensor
from ..kernel.expression import Buffer, Counter
from ..kernel.program import Branch, Kernel, Loop, While, read_buffers
from ..sizes import as_size
from .update import reads_only_in_place

if TYPE_CHECKING:
    from ..control.cond import Cond
    from ..control.scan import Scan
    from ..control.while_loop import While as WhileOp
    from .lower import Lowering


class ControlLowering:
    """Adds loops and branches to a program under construction."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering

    def scan(self, op: Scan, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        """A loop over the steps, whose number is the place in the sequences, or counts back from their ends."""
        outer = self.lowering
        counter = Counter()
        step = as_size(counter)
        place = op.length - 1 - step if op.reverse else step
        inits, sequences, captured = op.split(operands)
        carries = [outer.overwritten(*pair) for pair in zip(outputs, inits, strict=False)]
        unwritten = self._shared_stacks(op, outputs, carries)
        stacks = [None if tensor in unwritten else outer.buffers.get(tensor) or outer.result(tensor) for tensor in outputs[op.carries :]]
        elements = [outer.buffer(x).element(place) for x in sequences]
        body = self._body(op.body, [*map(_carried, carries), *elements, *map(outer.buffer, captured)])
        Handover(body).write(carries, [stack and stack.element(place) for stack in stacks])
        outer.add(Loop(op.name, counter, op.length, body.program, (outputs[0].node,)))

    def _shared_stacks(self, op: Scan, outputs: Sequence[Tensor], carries: Sequence[Buffer]) -> set[Tensor]:
        """The stacked results that the loop need not write: the values of a carry before each step lie among those after each, one place on.

        A stack of both has one element more, for the first value.
        """
        outer, unwritten = self.lowering, set[Tensor]()
        results = dict(zip(op.stacked, outputs[op.carries :], strict=True))
        for before, after, carry in zip(op.body.inputs, op.body.outputs, carries, strict=False):
            pair = results.get(before), results.get(after)
            if before is after or any(one is None or one in outer.buffers for one in pair):
                continue
            both = outer.temporary(before.type.with_shape((op.length + 1, *before.shape)))
            outer.copy(carry, both.element(op.length if op.reverse else 0), [outputs[0].node])
            for result, is_later in zip(pair, (op.reverse, not op.reverse), strict=True):
                assert result is not None
                outer.buffers[result] = Buffer(both.name, result.type, both.kind, base=both, shift=int(is_later) * before.type.size)
            unwritten.add(results[before])
        return unwritten

    def cond(self, op: Cond, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        """A branch whose programs write the same results."""
        outer = self.lowering
        predicate, *given = map(outer.buffer, operands)
        results = [outer.result(tensor) for tensor in outputs]
        bodies = [self._body(body, given) for body in (op.then, op.otherwise)]
        for body in bodies:
            Handover(body).write([], results)
        outer.add(Branch(op.name, predicate, bodies[0].program, bodies[1].program, (outputs[0].node,)))

    def repeat(self, op: WhileOp, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        """A loop as long as the condition's program gives true."""
        outer = self.lowering
        captured = [outer.buffer(x) for x in operands[op.carries :]]
        carries = [outer.overwritten(*pair) for pair in zip(outputs, operands, strict=False)]
        condition = self._body(op.condition, [*carries, *captured])
        body = self._body(op.body, [*map(_carried, carries), *captured])
        Handover(body).write(carries, [])
        predicate = condition.buffer(op.condition.outputs[0])
        outer.add(While(op.name, condition.program, predicate, body.program, (outputs[0].node,)))

    def _body(self, graph: Graph, given: Sequence[Buffer]) -> Lowering:
        body = type(self.lowering)(graph, self.lowering)
        body.buffers.update(zip(graph.inputs, given, strict=True))
        body.lower_nodes()
        return body


def _carried(carry: Buffer) -> Buffer:
    """A carry as its body sees it: it may be overwritten after its last use."""
    return Buffer(carry.name, carry.type, "carry", base=carry)


class Handover:
    """The end of a body: its outputs become the next carries and the other results."""

    def __init__(self, body: Lowering) -> None:
        self.body, self.steps = body, body.program.steps
        self.writers: dict[Buffer, list[int]] = {}
        self.last_read: dict[Buffer, int] = {}
        for position, step in enumerate(self.steps):
            self.last_read.update(dict.fromkeys(read_buffers(step), position))
            for buffer in step.written:
                self.writers.setdefault(buffer.storage, []).append(position)

    def write(self, carries: Sequence[Buffer], results: Sequence[Buffer | None]) -> None:
        """Let the outputs be computed into `carries` and `results`, in this order, or copy them there. A result that is None is not wanted."""
        places = [*carries, *results]
        values = [tensor for tensor, place in zip(self.body.graph.outputs, places, strict=True) if place is not None]
        sources = [self.body.buffer(tensor) for tensor in values]
        pending = []
        for k, (carry, source) in enumerate(zip(carries, sources, strict=False)):
            others = {other.storage for other in (*sources[:k], *sources[k + 1 :])}
            if self._may_replace(source, carry) and carry.storage not in others:
                self.body.become(source.storage, carry)
            elif source.storage is not carry.storage:
                pending.append((source, carry, values[k]))
        wanted = [result for result in results if result is not None]
        for result, source, tensor in zip(wanted, sources[len(carries) :], values[len(carries) :], strict=True):
            if source.storage in self.body.program.temporaries and source.is_whole:
                self.body.become(source.storage, result)
            else:
                self.body.copy(source, result, [tensor.node])
        self._copy(pending)

    def _may_replace(self, source: Buffer, carry: Buffer) -> bool:
        """Whether the one kernel that writes `source` may write over the carry: it, and nothing after it, reads that only in place."""
        if source.storage not in self.body.program.temporaries or not source.is_whole:
            return False
        (position, *others) = self.writers[source.storage]
        step = self.steps[position]
        if others or not isinstance(step, Kernel) or self.last_read.get(carry.storage, -1) > position or carry.storage in self.writers:
            return False
        return reads_only_in_place(step, source.storage, carry.storage)

    def _copy(self, pending: Sequence[tuple[Buffer, Buffer, Tensor]]) -> None:
        """Copies to carries, all at once: a source that is a carry to be overwritten is saved first."""
        targets = {carry.storage for _, carry, _ in pending}
        saved = []
        for source, carry, tensor in pending:
            if source.storage in targets:
                kept = self.body.temporary(source.type)
                self.body.copy(source, kept, [tensor.node])
                source = kept
            saved.append((source, carry, tensor))
        for source, carry, tensor in saved:
            self.body.copy(source, carry, [tensor.node])
