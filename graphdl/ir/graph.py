"""A graph: outputs, the inputs they are computed from, and every node between, in a deterministic order."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..constraints import Constraint
from ..errors import GraphdlError
from .node import Node, Tensor

if TYPE_CHECKING:
    import networkx


class Graph:
    """An immutable view of the computation of `outputs`.

    `inputs` fixes the order of the placeholders; by default they are listed in the order of first use.
    Two graphs are equal when their printed texts are.
    """

    def __init__(self, outputs: Tensor | Iterable[Tensor], inputs: Sequence[Tensor] | None = None) -> None:
        self.outputs: tuple[Tensor, ...] = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        for tensor in self.outputs:
            if not isinstance(tensor, Tensor):
                raise GraphdlError(f"a graph's outputs are tensors, not {type(tensor).__name__}")
        self.nodes: tuple[Node, ...] = topological_order(self.outputs)
        found = [node.output for node in self.nodes if node.op.is_input]
        self.inputs: tuple[Tensor, ...] = tuple(found) if inputs is None else tuple(inputs)

    def taking(self, inputs: Sequence[Tensor]) -> Graph:
        """The same computation with its placeholders in another order."""
        found = copy.copy(self)
        for derived in ("text", "_hash"):
            found.__dict__.pop(derived, None)
        found.inputs = tuple(inputs)
        return found

    @cached_property
    def text(self) -> str:
        from .printer import print_graph

        return print_graph(self)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Graph of {len(self.nodes)} nodes, {len(self.inputs)} inputs, {len(self.outputs)} outputs>"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Graph) and self.text == other.text)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Of what equal texts have in common at least, found without writing them: every kernel of a program is hashed."""
        place = {node: k for k, node in enumerate(self.nodes)}
        return hash(tuple((node.op.name, *(place[tensor.node] for tensor in node.operands)) for node in self.nodes))

    @cached_property
    def users(self) -> Mapping[Node, tuple[Node, ...]]:
        """For every node, the nodes that read it, once each, in order."""
        found: dict[Node, dict[Node, None]] = {node: {} for node in self.nodes}
        for node in self.nodes:
            for operand in node.operands:
                found[operand.node][node] = None
        return {node: tuple(readers) for node, readers in found.items()}

    @cached_property
    def parameters(self) -> tuple[Tensor, ...]:
        """The tensors that hold state, in the order of the nodes."""
        return tuple(node.output for node in self.nodes if node.op.is_parameter)

    @property
    def constraints(self) -> tuple[tuple[Constraint, Node], ...]:
        """The size equalities that a call must confirm, each with the node that needs it."""
        return tuple((constraint, node) for node in self.nodes for constraint in node.constraints)

    def nested(self) -> Iterator[Graph]:
        """The graph, and all graphs in attributes of its ops, to any depth."""
        yield self
        for node in self.nodes:
            for value in node.op.attributes.values():
                if isinstance(value, Graph):
                    yield from value.nested()

    @staticmethod
    def parse(text: str) -> Graph:
        """Read a printed graph back. Raises ParseError with the line."""
        from .parser import parse_graph

        return parse_graph(text)

    def verify(self) -> Graph:
        """Check every invariant again, by the ops' own type rules. Raises VerificationError; returns the graph."""
        from .verifier import verify

        verify(self)
        return self

    def to_networkx(self) -> networkx.MultiDiGraph[Any]:
        """A networkx graph: a node per op (attributes `op`, `type`, `sources`, ...), an edge per operand."""
        from .export import to_networkx

        return to_networkx(self)

    def to_html(self, path: str | Path) -> None:
        """Write the explorer: one self-contained page that shows every node with its formula, rule, line and kernel."""
        # By name: what inspects graphs stands far above them.
        importlib.import_module("graphdl.inspect.html").write_page(self, path)

    def to_svg(self) -> str:
        """The graph as a picture, up to 200 nodes."""
        from .drawing import to_svg

        return to_svg(self)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def to_dot(self) -> str:
        """The graph in Graphviz' language."""
        from .export import to_dot

        return to_dot(self)


def topological_order(outputs: Iterable[Tensor], needed: Callable[[Node], Sequence[Tensor]] = lambda node: node.operands) -> tuple[Node, ...]:
    """What is `needed` by a node, its operands, before the node, by depth-first search from the outputs; no recursion, so any depth will do."""
    order: list[Node] = []
    state: dict[Node, bool] = {}
    for tensor in outputs:
        stack: list[tuple[Node, bool]] = [(tensor.node, False)]
        while stack:
            node, operands_done = stack.pop()
            if operands_done:
                if not state[node]:
                    state[node] = True
                    order.append(node)
                continue
            if node in state:
                continue
            state[node] = False
            stack.append((node, True))
            stack.extend((operand.node, False) for operand in reversed(needed(node)) if operand.node not in state)
    return tuple(order)
