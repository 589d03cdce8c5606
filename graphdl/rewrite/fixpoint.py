"""Rewriting to a fixed point in one sweep: what replaces a node is rewritten before anything reads it."""

from __future__ import annotations

from collections.abc import Sequence

from ..collection import paused_collection
from ..errors import CompileError
from ..ir import Graph, Node, Tensor, derived
from .rebuild import Rewriting, current_operands, enter, fits, remake, same, with_outputs

STEPS_PER_NODE = 50


def rewrite(graph: Graph, rewriting: Rewriting, rule: str) -> Graph:
    """The graph rewritten until `rewriting` finds nothing more. New nodes are derived by `rule`.

    Raises CompileError when the rewriting goes round in circles.
    """
    with derived(rule), paused_collection():
        sweep = _Sweep(rewriting, rule, STEPS_PER_NODE * (len(graph.nodes) + 1))
        for node in graph.nodes:
            if node not in sweep.done:
                sweep.settle(node, sweep.step(node))
    return with_outputs(graph, sweep.values)


class _Sweep:
    """`values` holds what stands in for tensors that were replaced; nodes in `done` and their replacements are final."""

    def __init__(self, rewriting: Rewriting, rule: str, steps: int) -> None:
        self.rewriting = rewriting
        self.rule = rule
        self.steps = steps
        self.values: dict[Tensor, Tensor] = {}
        self.done: set[Node] = set()
        self.pending: dict[Node, Sequence[Tensor]] = {}

    def settle(self, root: Node, before: list[Node]) -> None:
        """Rewrite `root`, after what must be final `before` it; with a stack, so any depth will do."""
        stack = [root, *before] if before else []
        while stack:
            node = stack[-1]
            if node in self.done:
                stack.pop()
                continue
            found = self.pending.pop(node, None)
            if found is not None:
                if any(tensor.node not in self.done for tensor in found):
                    raise self._circle(node)
                self._finish(node, [self.values.get(tensor, tensor) for tensor in found])
                continue
            stack += [operand.node for operand in node.operands if operand.node not in self.done] or self.step(node)

    def step(self, node: Node) -> list[Node]:
        """Rewrite a node whose operands are final. Returns the nodes that must be final before it is."""
        operands = current_operands(node, self.values)
        found = self.rewriting(node, operands)
        if found is None or not fits(node, found) or same(found, node.outputs):
            made = remake(node, operands) if operands is not node.operands else node
            self.done.add(made)
            if made is not node:
                self._finish(node, made.outputs)
            return []
        self.steps -= 1
        if self.steps < 0:
            raise self._circle(node)
        self.pending[node] = found
        return [tensor.node for tensor in found]

    def _finish(self, node: Node, results: Sequence[Tensor]) -> None:
        enter(node, results, self.values)
        self.done.add(node)

    def _circle(self, node: Node) -> CompileError:
        return CompileError(f"{self.rule} goes round in circles at {node!r} ({node.provenance.source})")
