"""Which node made a value that is not finite: the graph is run again by NumPy up to the bad step, and followed back to the cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphdl.evaluation import evaluate_nodes, watching
from graphdl.formula import Name
from graphdl.ir import Graph, Node, Tensor
from graphdl.kernel.program import Step
from graphdl.pipeline import PASSES
from graphdl.record import record

Array = np.ndarray[Any, Any]
Values = dict[Tensor, Array]


@record
class Culprit:
    """The first bad node, the index of its first bad value, and all there is to say of it."""

    message: str
    node: Node
    index: tuple[int, ...]


def find_culprit(graph: Graph, steps: Sequence[Step], number: int, arrays: Sequence[Array], sizes: Mapping[str, int]) -> Culprit:
    """The cause of the bad result of step `number` of the program that `graph` was lowered to."""
    step = steps[number]
    target = _node_of(graph, steps, number)
    nodes = graph.nodes if target is None else graph.nodes[: graph.nodes.index(target) + 1]
    values: Values = dict(zip(graph.inputs, arrays, strict=True))
    evaluate_nodes(nodes, values, sizes)
    found = _search(nodes if target is None else [target], values, sizes)
    return found or Culprit(_unconfirmed(step), target or nodes[-1], ())


def _search(nodes: Sequence[Node], values: Values, sizes: Mapping[str, int]) -> Culprit | None:
    """The cause of the first bad result of `nodes`."""
    for node in nodes:
        values.update(_inside(node, values, sizes))
        outer = _outer(node)
        bad = next((x for x in (*_results(node), *node.outputs) if is_bad(values[x])), None)
        if bad is not None:
            first = _first(bad, values, outer)
            return _within(first.node, values, sizes) or _describe(first, values, outer)
    return None


def _within(node: Node, values: Values, sizes: Mapping[str, int]) -> Culprit | None:
    """The cause inside of a branch or loop: in the first turn whose results are bad."""
    if not node.op.regions:
        return None
    turns: Counter[int] = Counter()
    found: list[tuple[Graph, Values, int]] = []

    def watch(body: Graph, inner: Mapping[Tensor, Array]) -> None:
        if not found and any(is_bad(inner[x]) for x in body.outputs):
            found.append((body, dict(inner), turns[id(body)]))
        turns[id(body)] += 1

    with watching(watch):
        evaluate_nodes([node], dict(values), sizes)
    if not found:
        return None
    body, inner, turn = found[0]
    cause = _search(body.nodes, inner, sizes)
    return cause and Culprit(f"{cause.message}\n  in step {turn} of {node.told}", cause.node, cause.index)


def is_bad(array: Array) -> bool:
    """Whether an array holds a NaN or an infinity."""
    return array.dtype.kind not in "iub" and not bool(np.isfinite(array.astype("float64")).all())


def _node_of(graph: Graph, steps: Sequence[Step], number: int) -> Node | None:
    """The node that step `number` computes, None inside of loops."""
    step = steps[number]
    told = {getattr(step, "node", None), *step.origins}
    return next((node for node in graph.nodes if node in told), None)


def _results(node: Node) -> tuple[Tensor, ...]:
    return tuple(node.op.body.outputs) if node.op.pattern == "fusion" else ()


def _inside(node: Node, values: Values, sizes: Mapping[str, int]) -> Values:
    """The values of everything that a fusion computes."""
    if node.op.pattern != "fusion":
        return {}
    body = node.op.body
    inner: Values = {inside: values[outside] for inside, outside in zip(body.inputs, node.operands, strict=True)}
    evaluate_nodes(body.nodes, inner, sizes)
    return inner


def _outer(node: Node) -> dict[Tensor, Tensor]:
    """What the inputs of a fusion stand for."""
    return dict(zip(node.op.body.inputs, node.operands, strict=True)) if node.op.pattern == "fusion" else {}


def _first(tensor: Tensor, values: Values, outer: Mapping[Tensor, Tensor]) -> Tensor:
    """Back from a bad tensor to one whose operands are all finite."""
    while True:
        tensor = outer.get(tensor, tensor)
        cause = next((x for x in tensor.node.operands if x in values and is_bad(values[x])), None)
        if cause is None:
            return tensor
        tensor = cause


def _describe(tensor: Tensor, values: Values, outer: Mapping[Tensor, Tensor]) -> Culprit:
    node, array = tensor.node, values[tensor]
    index = tuple(int(k) for k in np.argwhere(~np.isfinite(array.astype("float64")))[0])
    place = f" at {list(index)}" if index else ""
    what = f"{tensor.name!r}" if tensor.name else node.told
    lines = [f"{what} {'holds' if not node.operands else 'computed'} {float(array[index])}{place} of {tensor.type}"]
    names = [outer.get(operand, operand).name or f"x{k}" for k, operand in enumerate(node.operands)]
    if node.operands:
        lines.append(f"  formula: {node.op.formula(node, *map(Name, names))}")
    lines += [f"  {name}: {_show(values.get(operand), array.shape, index)}" for name, operand in zip(names, node.operands, strict=True)]
    return Culprit("\n".join([*lines, *_provenance(node)]), node, index)


def _show(operand: Array | None, shape: tuple[int, ...], index: tuple[int, ...]) -> str:
    """The operand's value at the same place, or what it spans."""
    if operand is None:
        return "not computed"
    if operand.shape == shape:
        return f"{operand[index]} there"
    return f"between {operand.min()} and {operand.max()}, shape {operand.shape}" if operand.size else "empty"


def _provenance(node: Node) -> list[str]:
    known = node.provenance
    lines = [f"  line: {source.file}:{source.line}" for source in sorted(known.sources)]
    lines += [f"  module: {module}" for module in sorted(known.modules)]
    if known.is_derived:
        lines += [f"  derived by the rule of {rule}" for rule in sorted(known.rules - PASSES.keys())]
        lines += [f"  forward node: {origin.told}" for origin in sorted(known.origins, key=lambda origin: origin.number) if origin.number < node.number]
    return lines


def _unconfirmed(step: Step) -> str:
    sources = sorted({source for origin in step.origins for source in origin.provenance.sources})
    places = ", ".join(f"{source.file}:{source.line}" for source in sources)
    return f"{step.name} computed a value that is not finite in native code, where NumPy does not: it is at the edge of overflow\n  lines: {places}"
