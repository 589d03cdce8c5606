"""Fusion: which results are stored, and which are computed where they are used.

    h = relu(x @ w + b)           ->  one kernel: the product with bias and relu in its epilogue
    exp(x - max(x)) / sum(...)    ->  one kernel: reductions of a row, then the row

What belongs together is decided in `partition`; here groups become nodes.
"""

from __future__ import annotations

from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived, make_node
from graphdl.ops.fusion import Fusion
from graphdl.ops.source import Placeholder
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import follow

from .partition import Group, Partition


@record
class FuseKernels(Pass):
    """Group nodes into fusions, one kernel each."""

    name: ClassVar[str] = "fusion"
    phase: ClassVar[str] = "fuse"

    def run(self, graph: Graph) -> Graph:
        return _rebuild(graph, Partition(graph).run())


def _rebuild(graph: Graph, home: dict[Node, Group]) -> Graph:
    """The graph with a fusion for every group of several nodes."""
    built: dict[Tensor, Tensor] = {}
    stack = [tensor.node for tensor in reversed(graph.outputs)]
    open_nodes: set[Node] = set()
    while stack:
        node = stack[-1]
        if node.outputs[0] in built:
            stack.pop()
            continue
        group = home.get(node)
        needed = _needed(node, group)
        missing = [tensor.node for tensor in needed if tensor not in built]
        if missing and node not in open_nodes:
            open_nodes.add(node)
            stack.extend(reversed(missing))
            continue
        assert not missing, "groups depend on each other in a circle"
        stack.pop()
        _build(node, group, needed, built)
    return Graph([built[tensor] for tensor in graph.outputs], graph.inputs)


def _needed(node: Node, group: Group | None) -> list[Tensor]:
    """What must exist before a node or its group can be built, in order of first use."""
    if group is None or len(group.accesses) <= 1:
        return list(node.operands)
    inside = sorted(group.accesses, key=lambda one: one.number)
    return list(dict.fromkeys(operand for one in inside for operand in one.operands if operand.node not in group.accesses))


def _build(node: Node, group: Group | None, needed: list[Tensor], built: dict[Tensor, Tensor]) -> None:
    if group is None or len(group.accesses) <= 1:
        operands = [built[operand] for operand in node.operands]
        same = all(a is b for a, b in zip(operands, node.operands, strict=True))
        copy = node if same else _remade(node, operands)
        follow((node,), copy)
        built.update(zip(node.outputs, copy.outputs, strict=True))
        return
    members = tuple(group.accesses)
    inputs = [Placeholder(f"a{k}", tensor.dtype, tensor.shape)() for k, tensor in enumerate(needed)]
    inner = dict(zip(needed, inputs, strict=True))
    for one in _ordered(group):
        inner[one.output] = _remade(one, [inner[operand] for operand in one.operands]).output
    outputs = sorted(group.outputs, key=lambda one: (-one.output.ndim, one.number))
    body = Graph([inner[one.output] for one in outputs], inputs)
    with derived("fusion", (), members):
        fused = make_node(Fusion(body), [built[tensor] for tensor in needed])
    follow(members, fused)
    built.update(zip((one.output for one in outputs), fused.outputs, strict=True))


def _remade(node: Node, operands: list[Tensor]) -> Node:
    with derived("fusion", (), (node,)):
        made = make_node(node.op, operands, like=node)
    follow((node,), made)
    return made


def _ordered(group: Group) -> list[Node]:
    """Members, operands before users."""
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(node, False) for node in group.outputs]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in done:
            done.add(node)
            stack.append((node, True))
            stack.extend((operand.node, False) for operand in node.operands if operand.node in group.accesses and operand.node not in done)
    return order
