"""What values every tensor of a graph can take, from the ops' own scalar expressions: abstract interpretation over ranges.

Two facts that ranges alone cannot tell are followed from node to node: which tensor is the maximum of which (so x - max(x) is at
most 0 and somewhere 0), and which condition a `where` has checked. Bodies of branches and loops are graphs like any other; what
a loop carries is the union of its steps, and without bounds where it grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ..ir import Graph, Node, Tensor
from ..kernel.expression import Expr, Reduce, Scalar, Variable
from ..types import is_floating
from .ranges import ANY, BOOLEAN, INF, Range, intersect, made, union, widened
from .scalars import Env, Hazard, Reader

ROUNDS = 3  # of a loop's body before what still grows has no bounds


class Analysis:
    """The ranges of all tensors of `graph`, and its hazards. Parameters in `learned` can become anything; the sign of others stays."""

    def __init__(self, graph: Graph, learned: Iterable[Tensor] = ()) -> None:
        self.learned = set(learned)
        self.ranges: dict[Tensor, Range] = {}
        self.extremes: dict[Tensor, tuple[str, Tensor]] = {}
        self.roots: dict[Node, Expr] = {}
        self.multiples: dict[Tensor, tuple[Tensor, float]] = {}
        self.hazards: list[Hazard] = []
        self.users: dict[Node, list[Node]] = {}
        self._enter(graph)

    def _enter(self, graph: Graph) -> list[Range]:
        """Visit all nodes; the ranges of the outputs."""
        for node in graph.nodes:
            self._visit(node)
            for operand in node.operands:
                self.users.setdefault(operand.node, []).append(node)
        return [self.ranges[tensor] for tensor in graph.outputs]

    def _visit(self, node: Node) -> None:
        op = node.op
        if op.regions:
            self._run(node)
        elif op.is_view:
            self._copy(node.operands[0], node.output)
        elif hasattr(op, "state"):
            self.ranges[node.output] = self._stored(node.output)
        elif op.pattern in ("opaque", "fusion") or op.is_input:
            for tensor in node.outputs:
                self.ranges.setdefault(tensor, of_dtype(tensor.dtype))
        else:
            self._read(node)

    def _run(self, node: Node) -> None:
        """Visit the bodies of a branch or loop: their inputs stand for the last operands."""
        given = [self.ranges[operand] for operand in node.operands]
        told = node.op.recurrence
        found: list[list[Range]] = []
        for name in node.op.regions:
            body: Graph = getattr(node.op, name)
            is_branch = len(body.inputs) < len(given)
            carries = 0 if is_branch else told.carries if told else len(node.outputs)
            found.append(self._repeat(body, given[len(given) - len(body.inputs) :], carries))
        for k, tensor in enumerate(node.outputs):
            ranges = [outputs[k] for outputs in found if len(outputs) == len(node.outputs)]
            self.ranges[tensor] = ranges[0] if len(ranges) == 1 else union(*ranges) if len(ranges) == 2 else of_dtype(tensor.dtype)

    def _repeat(self, body: Graph, given: Sequence[Range], carries: int) -> list[Range]:
        """The ranges of a body's results, where the first inputs are those of the step before."""
        held, told = list(given), len(self.hazards)
        for turn in range(ROUNDS):
            self.ranges.update(zip(body.inputs, held, strict=True))
            del self.hazards[told:]
            outputs = self._enter(body)
            if len(outputs) < carries:  # a condition
                return outputs
            after = [union(x, y) for x, y in zip(held[:carries], outputs, strict=False)]
            if after == held[:carries]:
                break
            held[:carries] = after if turn == 0 else map(widened, held, after)
        self.ranges.update(zip(body.inputs, held, strict=True))
        del self.hazards[told:]
        outputs = self._enter(body)
        return [*map(union, held[:carries], outputs), *outputs[carries:]]

    def _copy(self, source: Tensor, target: Tensor) -> None:
        self.ranges[target] = self.ranges[source]
        if source in self.extremes:
            self.extremes[target] = self.extremes[source]

    def _scale(self, reader: Reader) -> None:
        """Note what a node multiplies by a number."""
        root, node = reader.root, reader.node
        if not isinstance(root, Scalar) or root.function not in ("multiply", "divide", "negative") or not all(isinstance(x, Variable) for x in root.operands):
            return
        numbers = [self.ranges[x].number for x in node.operands]
        if root.function == "negative":
            source, factor = node.operands[0], -1.0
        elif numbers[1]:
            source, factor = node.operands[0], numbers[1] if root.function == "multiply" else 1 / numbers[1]
        elif numbers[0] and root.function == "multiply":
            source, factor = node.operands[1], numbers[0]
        else:
            return
        base, times = self.multiples.get(source, (source, 1.0))
        self.multiples[node.output] = base, times * factor

    def _stored(self, tensor: Tensor) -> Range:
        value = np.asarray(tensor.value)
        if tensor in self.learned or not value.size or value.dtype.kind not in "fiub":
            # A single number, such as a temperature, is taken not to become 0.
            return replace(of_dtype(tensor.dtype), zero=value.size != 1 or not value.item())
        low, high = float(np.min(value)), float(np.max(value))
        if tensor.node.op.is_parameter:
            return made(0.0, INF) if low >= 0 else ANY
        return replace(made(low, high), zero=bool((value == 0).any()))

    def _read(self, node: Node) -> None:
        reader = Reader(self, node)
        root = reader.root
        self.roots[node] = root
        if isinstance(root, Variable):
            self._copy(reader.leaves[root.position], node.output)
            return
        if isinstance(root, Reduce) and root.kind in ("max", "min") and isinstance(root.body, Variable):
            self.extremes[node.output] = root.kind, reader.leaves[root.body.position]
        self._scale(reader)
        found = reader.evaluate(root, Env())
        limits = of_dtype(node.output.dtype)
        self.ranges[node.output] = found if is_floating(node.output.dtype) else intersect(found, limits.lower, limits.upper)


def of_dtype(dtype: str) -> Range:
    """All values of a dtype that are finite."""
    if dtype == "bool":
        return BOOLEAN
    return made(0.0, float(np.iinfo(dtype).max)) if dtype.startswith("uint") else ANY
