"""Mistakes that show before anything runs: gradients that will be NaN, infinite or silently zero, and shapes that reduce by surprise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..calculus import grad
from ..collection import paused_collection
from ..compiler import Executable
from ..errors import GradientError
from ..ir import Graph, Node, Source, Tensor, rewriting
from ..ir.node import FUNCTIONS
from ..kernel.expression import Scalar, Variable
from ..nn.buffer import is_buffer
from ..types import is_floating, is_integer
from .analysis import Analysis
from .finding import Finding
from .learning import dead_paths, saturations
from .scalars import Hazard
from .transfer import REMEDIES

WHERE = "gd.where passes the value but not the gradient on: give the inner function a safe operand, gd.where(c, f(gd.where(c, x, safe)), y)"


_NO_PATH = "no path leads from it to the loss: use it, or take no gradient by it"


@paused_collection()
@rewriting()
def lint(of: Tensor | Iterable[Tensor] | Graph | Executable, *, parameters: Iterable[Tensor] = ()) -> list[Finding]:
    """Every mistake found in the graph of `of`, in the order of the user's lines; an empty list is good.

    If nothing in the graph is a derivative, its outputs are differentiated first, by all that is learned. `parameters` are those
    that are meant to be used. Inputs are taken to be finite numbers of any sign, sizes to be at least 1.
    """
    outputs = _outputs(of)
    given = Graph(outputs)
    learned = [tensor for tensor in given.parameters if is_floating(tensor.dtype) and not is_buffer(tensor)]
    if any(node.provenance.declared.is_derived for node in given.nodes):
        by = {tensor for node in given.nodes for _, _, tensor in node.provenance.declared.cotangents}
        learned = [tensor for tensor in learned if tensor in by]
        graph = given
        candidates = []
    else:
        candidates = learned or [x for x in given.inputs if is_floating(x.dtype)]
        gradients = list(_gradients(outputs, candidates))
        moved = {by for by, gradient in gradients if gradient.node.operands}
        learned = [tensor for tensor in learned if tensor in moved or not gradients]
        graph = Graph([*outputs, *(gradient for _, gradient in gradients)])
    analysis = Analysis(graph, learned)
    found = [*_hazards(analysis), *_cuts(given), *_broadcasts(given, analysis), *_unused(given, parameters), *_zeros(outputs, analysis)]
    found += [*saturations(given, analysis, learned), *dead_paths(given, analysis, candidates, {one.node for one in found})]
    return sorted(found, key=lambda one: (one.source is None, one.source or Source("", 0), one.rule))


def _outputs(of: Tensor | Iterable[Tensor] | Graph | Executable) -> tuple[Tensor, ...]:
    if isinstance(of, Executable):
        return of.source.outputs
    if isinstance(of, Graph):
        return of.outputs
    return (of,) if isinstance(of, Tensor) else tuple(of)


def _gradients(outputs: Iterable[Tensor], wrt: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """What each output is differentiated by, and the gradient."""
    for tensor in outputs:
        reached = {node.output for node in Graph(tensor).nodes}
        connected = [x for x in wrt if x in reached]
        if not is_floating(tensor.dtype) or not connected:
            continue
        try:
            yield from zip(connected, grad(tensor if tensor.ndim == 0 else FUNCTIONS["sum"](tensor), connected), strict=True)
        except GradientError:  # some ops have no derivative
            continue


def _hazards(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each forward node, the one nearest to it."""
    seen: set[Node] = set()
    for hazard in sorted(analysis.hazards, key=lambda hazard: hazard.node.provenance.declared.is_derived):
        forward = _forward(hazard.node)
        if forward not in seen:
            seen.add(forward)
            yield _tell(analysis, hazard, forward)


def _forward(node: Node) -> Node:
    known = node.provenance.declared
    older = [origin for origin in known.origins if origin.number < node.number]
    return min(older, key=lambda origin: origin.number) if known.is_derived and older else node


def _tell(analysis: Analysis, hazard: Hazard, forward: Node) -> Finding:
    text = f"{'' if hazard.node is forward else 'the derivative of '}{forward.op.name} {hazard.text}"
    readers = [user for user in analysis.users.get(forward, ()) if not user.provenance.declared.is_derived]
    hidden = bool(readers) and all(_is_where(analysis, user) for user in readers)
    function = getattr(forward.op, "function", hazard.function)
    remedy = WHERE if hidden or hazard.function == "multiply" else REMEDIES.get(function, REMEDIES.get(hazard.function, ""))
    return Finding("domain" if not hidden else "where", text, remedy, forward.provenance.declared.source, forward)


def _is_where(analysis: Analysis, node: Node) -> bool:
    root = analysis.roots.get(node)
    return isinstance(root, Scalar) and root.function == "select"


def _cuts(graph: Graph) -> Iterator[Finding]:
    """Fractions made whole and used as fractions again: no gradient passes."""
    for node in graph.nodes:
        rounded = next((x for x in node.operands if is_integer(x.dtype)), None)
        if node.provenance.declared.is_derived or rounded is None or not is_floating(node.output.dtype) or len(node.operands) != 1:
            continue
        if rounded.node.operands and is_floating(rounded.node.operands[0].dtype) and Graph(rounded).parameters:
            message = f"{node.op.name} of whole numbers made from fractions: no gradient passes through {rounded.node.op.name}"
            yield Finding("integer cut", message, "compute in floating point, or say gd.stop_gradient if that is meant", node.provenance.declared.source, node)


def _broadcasts(graph: Graph, analysis: Analysis) -> Iterator[Finding]:
    """(N, 1) with (N,) becomes (N, N), which is rarely meant."""
    for node in graph.nodes:
        if node.provenance.declared.is_derived or node.op.pattern != "pointwise" or len(node.operands) < 2 or not is_floating(node.output.dtype):
            continue
        sources = [_spread_from(x, analysis) for x in node.operands]
        columns = [x for x in sources if x is not None and x.ndim == 2 and x.shape[1] == 1]
        flat = [x for x in sources if x is not None and x.ndim == 1]
        if any(column.shape[0] == row.shape[0] != 1 for column in columns for row in flat):
            n = columns[0].shape[0]
            message = f"{node.op.name} of shapes ({n}, 1) and ({n},) is broadcast to ({n}, {n})"
            yield Finding("broadcast", message, "give both operands one shape, with reshape or [:, 0]", node.provenance.declared.source, node)


def _spread_from(tensor: Tensor, analysis: Analysis) -> Tensor | None:
    """What `tensor` repeats, if it is a plain broadcast."""
    operands = tensor.node.operands
    if len(operands) != 1 or not isinstance(analysis.roots.get(tensor.node), Variable):
        return None
    source = operands[0]
    return source if source.shape != tensor.shape and source.ndim <= tensor.ndim and source.size != tensor.size else None


def _unused(graph: Graph, parameters: Iterable[Tensor]) -> Iterator[Finding]:
    used = set(graph.parameters)
    for tensor in parameters:
        if tensor not in used:
            text = f"parameter {tensor.name!r} is not used"
            yield Finding("unused parameter", text, "use it, or leave it out of what is learned", tensor.node.provenance.declared.source, tensor.node)


def _zeros(outputs: Sequence[Tensor], analysis: Analysis) -> Iterator[Finding]:
    derivatives = any(tensor.node.provenance.declared.is_derived for tensor in outputs)
    for tensor in outputs:
        if derivatives and not tensor.node.operands and not tensor.node.op.is_parameter and analysis.ranges[tensor].number == 0:
            yield Finding("zero gradient", f"an output of type {tensor.type} is always 0", _NO_PATH, tensor.node.provenance.declared.source, tensor.node)
        if tensor.node.provenance.declared.is_derived and analysis.ranges[tensor].number == 0:
            by = next((by.name or by.node.told for index, _, by in tensor.node.provenance.declared.cotangents if index == tensor.index), "a tensor")
            text = f"the gradient by {by} is always 0"
            yield Finding("zero gradient", text, _NO_PATH, tensor.node.provenance.declared.source, tensor.node)
