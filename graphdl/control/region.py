"""The base of ops that hold graphs, and how graphs become bodies that stand on their own.

A body reads nothing from outside: every tensor of the enclosing graph that it needs is an operand of the op and an input
of the body (closure conversion). What does not change with the body's own inputs is computed outside, once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from typing import Any

from ..constraints import unify
from ..errors import TypeRuleError
from ..evaluation import evaluate_nodes, tell
from ..ir import Graph, Node, Tensor, copying, make_node
from ..ir.graph import topological_order
from ..kernel.reading import reading_of
from ..op import Array, Op, widens
from ..ops.shape import Linear
from ..ops.source import Placeholder
from ..record import record
from ..types import TensorType, is_floating

COUNTED = 16  # operations on counts that a body does again rather than read their result


@record
class Trace:
    """What a body was made from: for every tensor seen while declaring, the body's own; derivative rules given as functions
    may mention the former. `hidden` are the ops that the body's text does not tell apart."""

    copies: Mapping[Tensor, Tensor] = field(default_factory=dict, compare=False, hash=False)
    hidden: tuple[Any, ...] = ()


NO_TRACE = Trace()


class Region(Op):
    """The base of ops whose fields `regions` are bodies."""

    def bind(self, sizes: Mapping[str, int]) -> _Bound:  # type: ignore[override]
        return _Bound(self, sizes)

    def evaluate(self, *operands: Array) -> tuple[Array, ...]:
        return self.run({}, *operands)

    def trim(self, used: AbstractSet[int]) -> Trimmed:
        """This op without what only serves results that are not `used`."""
        raise NotImplementedError

    def run(self, sizes: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
        """The results in NumPy at these symbolic sizes."""
        raise NotImplementedError


@record
class Trimmed:
    """An op that does less, and which operands it keeps and which results, by their positions."""

    op: Region
    operands: Sequence[int]
    results: Sequence[int]


@record
class _Bound:
    """An op with regions at the sizes of one call."""

    op: Region
    sizes: Mapping[str, int]

    def evaluate(self, *operands: Array) -> tuple[Array, ...]:
        return self.op.run(self.sizes, *operands)


def evaluate_body(body: Graph, operands: Sequence[Array], sizes: Mapping[str, int]) -> list[Array]:
    """The body's outputs in NumPy."""
    values: dict[Tensor, Array] = dict(zip(body.inputs, operands, strict=True))
    evaluate_nodes(body.nodes, values, sizes)
    tell(body, values)
    return [values[tensor] for tensor in body.outputs]


def inputs_read(body: Graph, outputs: Iterable[int]) -> set[int]:
    """The positions of the inputs on which some outputs depend."""
    nodes = set(topological_order([body.outputs[k] for k in outputs]))
    return {k for k, tensor in enumerate(body.inputs) if tensor.node in nodes}


def part_of(body: Graph, outputs: Iterable[int], inputs: Iterable[int]) -> Graph:
    """The body with only these outputs and inputs."""
    return Graph([body.outputs[k] for k in outputs], [body.inputs[k] for k in inputs])


def check_inputs(body: Graph, given: Sequence[TensorType], what: str) -> None:
    """Assume what the body assumes of sizes. Raises TypeRuleError or ShapeError where `given` does not fit its inputs."""
    if len(given) != len(body.inputs):
        raise TypeRuleError(f"{what} takes {len(body.inputs)} tensors, got {len(given)}")
    for tensor, type in zip(body.inputs, given, strict=True):
        check_same(type, tensor.type, f"input {tensor.name} of {what}")
    for (left, right, told), node in body.constraints:
        unify(left, right, f"{node.told} in {what}: {told}")


def check_same(found: TensorType, needed: TensorType, what: str) -> None:
    """Raises TypeRuleError or ShapeError unless both are one type, as far as can be told before a call."""
    if found.dtype != needed.dtype or found.rank != needed.rank:
        raise TypeRuleError(f"{what} is {found}, but {needed} is needed")
    for axis, (a, b) in enumerate(zip(found.shape, needed.shape, strict=True)):
        unify(a, b, f"axis {axis} of {what}")


# -- closing --------------------------------------------------------------------------------------------------------


@record
class Closed:
    """Bodies that stand on their own, the outer tensors that they read, in the order of their last inputs, and the trace."""

    bodies: tuple[Graph, ...]
    captured: tuple[Tensor, ...]
    trace: Trace


def close(
    ends: Sequence[Sequence[Tensor]],
    own: Mapping[Tensor, str],
    bound: Mapping[Tensor, Tensor] | None = None,
    *,
    before: Trace = NO_TRACE,
    since: int | None = None,
) -> Closed:
    """Bodies for each group of `ends`. All take first the placeholders `own`, under new labels, then what they capture.

    `bound` gives outer tensors that stand for placeholders of another body, whose trace was `before`. What does not change with
    `own` is computed outside, unless it only moves elements or widens integers, which a body reads through, or was declared `since` that number.
    """
    return _Closing(own, bound or {}, before, since).close(ends)


class _Closing:
    def __init__(self, own: Mapping[Tensor, str], bound: Mapping[Tensor, Tensor], before: Trace, since: int | None) -> None:
        self.inputs = [Placeholder(label, tensor.dtype, tensor.shape)() for tensor, label in own.items()]
        self.before, self.since = before, since
        self.roots = set(own) | set(bound)
        self.outer: dict[Tensor, Tensor] = dict(bound)
        self.inner: dict[Tensor, Tensor] = dict(zip(own, self.inputs, strict=True))
        self.captured: dict[Tensor, Tensor] = {}
        self.varying: set[Tensor] = set(own)

    def close(self, ends: Sequence[Sequence[Tensor]]) -> Closed:
        order = dependents([tensor for group in ends for tensor in group], self.roots, made=self.since)
        for node in order:
            varies = any(operand in self.varying for operand in node.operands) or (self.since is not None and node.number >= self.since)
            self.varying.update(node.outputs if varies else ())
            values, read = (self.inner, self._inside) if varies else (self.outer, self._outside)
            values.update(zip(node.outputs, copy_node(node, [read(operand) for operand in node.operands]).outputs, strict=True))
        outputs = [[self._inside(tensor) for tensor in group] for group in ends]
        inputs = [*self.inputs, *self.captured.values()]
        bodies = tuple(Graph(group, inputs) for group in outputs)
        hidden = tuple(node.op for body in bodies for node in body.nodes if not node.op.is_input and _is_hidden(node.op))
        earlier = {old: self.inner[new] for old, new in self.before.copies.items() if new in self.inner}
        return Closed(bodies, tuple(self.captured), Trace({**earlier, **self.inner}, hidden))

    def _outside(self, tensor: Tensor) -> Tensor:
        return self.outer.get(tensor, tensor)

    def _inside(self, tensor: Tensor) -> Tensor:
        """The body's own tensor for one that is needed there: a copy, or an input that captures it."""
        if tensor not in self.inner:
            outer = self._outside(tensor)
            self.inner[tensor] = self._through(outer)
        return self.inner[tensor]

    def _through(self, outer: Tensor) -> Tensor:
        """An outer tensor inside: declared again if it is made of nothing, else captured below the ops that only move its elements."""
        if is_counted(outer.node):
            return copy_node(outer.node, [self._inside(operand) for operand in outer.node.operands]).output
        moving: list[Node] = []
        while is_free(outer.node) and outer not in self.captured and outer.node.operands:
            moving.append(outer.node)
            (outer,) = outer.node.operands
        found = outer if is_free(outer.node) else self._capture(outer)
        for node in reversed(moving):
            found = copy_node(node, [found]).output
        return found

    def _capture(self, outer: Tensor) -> Tensor:
        if outer not in self.captured:
            self.captured[outer] = Placeholder(f"k{len(self.captured)}", outer.dtype, outer.shape)()
        return self.captured[outer]


def is_free(node: Node) -> bool:
    """Whether a node only moves elements of one tensor or widens integers, or fills or counts, so that it costs nothing where it is read.

    Narrow floats are widened outside: their cotangents would else be rounded to the narrow dtype at every step.
    """
    op = node.op
    if widens(node) and not is_floating(node.operands[0].dtype):
        return True
    return op.pattern == "injective" and (not node.operands or isinstance(op, Linear)) and not op.is_input and not hasattr(op, "state")


def is_counted(node: Node) -> bool:
    """Whether a few cheap operations on fills and counts make a value, such as a mask of what comes before."""
    stack, left = [node], COUNTED
    while stack and left > 0:
        one = stack.pop()
        left -= 1
        if one.op.pattern not in ("pointwise", "injective") or hasattr(one.op, "state") or one.op.is_input or one.op.is_parameter:
            return False
        left -= reading_of(one).flops
        stack.extend(operand.node for operand in one.operands)
    return not stack and left >= 0


def dependents(ends: Iterable[Tensor], roots: Iterable[Tensor], since: int = 0, made: int | None = None) -> list[Node]:
    """The nodes between `roots` and `ends`, operands first, and all those with operands and numbers from `made` on.

    Nodes older than every root or than `since` are not visited.
    """
    known = set(roots)
    oldest = max(since, min([tensor.node.number for tensor in known] + ([] if made is None else [made]), default=0))
    found: list[Node] = []
    seen: set[Node] = {tensor.node for tensor in known}
    depends: set[Node] = set(seen)
    stack = [(tensor.node, False) for tensor in ends]
    while stack:
        node, operands_done = stack.pop()
        if operands_done:
            if any(operand.node in depends for operand in node.operands) or (made is not None and node.operands and node.number >= made):
                depends.add(node)
                found.append(node)
        elif node not in seen and node.number >= oldest:
            seen.add(node)
            stack.append((node, True))
            stack.extend((operand.node, False) for operand in node.operands)
    return found


def labelled(**groups: Sequence[Tensor]) -> dict[Tensor, str]:
    """A label for every tensor: its group and its place there."""
    return {tensor: f"{label}{k}" for label, tensors in groups.items() for k, tensor in enumerate(tensors)}


def numbered() -> int:
    """A number below those of all nodes made from now on."""
    return Placeholder("mark", "bool", ())().node.number


def copy_node(node: Node, operands: Sequence[Tensor]) -> Node:
    """The node's op on other operands, with all that the node knows of its origin."""
    if all(a is b for a, b in zip(operands, node.operands, strict=True)):
        return node
    with copying(node):
        return make_node(node.op, operands)


def substitute(tensors: Sequence[Tensor], values: Mapping[Tensor, Tensor], since: int = 0) -> list[Tensor]:
    """The tensors computed from the values of `values` in the places of its keys, in nodes with numbers from `since` on."""
    known = dict(values)
    for node in dependents(tensors, values, since):
        if node.outputs[0] not in known:
            copy = copy_node(node, [known.get(operand, operand) for operand in node.operands])
            known.update(zip(node.outputs, copy.outputs, strict=True))
    return [known.get(tensor, tensor) for tensor in tensors]


def _is_hidden(op: Any) -> bool:
    """Whether the op has attributes that its text does not show."""
    if isinstance(op, Region):
        return bool(op.trace.hidden)  # type: ignore[attr-defined]
    return any(not one.repr and one.init and one.compare for one in dataclasses.fields(op))
