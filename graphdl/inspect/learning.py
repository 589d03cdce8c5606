"""Mistakes that make learning slow or impossible without any number going wrong: saturated squares, and paths without gradient."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Sequence

from ..errors import GradientError
from ..ir import Graph, Node, Tensor
from ..ir.graph import topological_order
from ..kernel.expression import Scalar, Variable
from ..kernel.reading import reading_of
from ..op import Op
from ..ops.source import Placeholder
from ..types import TensorType, is_floating
from .analysis import Analysis
from .finding import Finding
from .ranges import INF

LOGITS = "take the loss of the logits: nn.functional.binary_cross_entropy_with_logits, or nn.functional.cross_entropy for classes"
_PLAIN = ("add", "subtract", "multiply", "divide", "negative", "exp")
PATHS = "use a function with a slope, such as a sigmoid for a step, or say gd.stop_gradient if that is meant"


def saturations(graph: Graph, analysis: Analysis, learned: Sequence[Tensor]) -> Iterator[Finding]:
    """Squared errors of what flattens out to 0 and 1: where it is most wrong, it learns least."""
    parameters = {tensor.node for tensor in learned}
    for node in graph.nodes:
        difference = _squared(node, analysis)
        if difference is None or node.provenance.declared.is_derived or _is_weight(node, analysis, parameters):
            continue
        for side in difference.node.operands:
            source = _moved(side).node
            if _flattens(source, analysis) and parameters & set(topological_order([source.output])):
                text = f"the squared error of {source.op.name}: its gradient vanishes where {source.op.name} is close to 0 or 1, right or wrong"
                yield Finding("saturation", text, LOGITS, source.provenance.declared.source, source)


def _is_weight(node: Node, analysis: Analysis, parameters: Collection[Node]) -> bool:
    """Whether what is learned is multiplied by `node`, as in the focal loss: then it is no error itself."""
    pending = [node]
    while pending:
        factor = pending.pop()
        for user in analysis.users.get(factor, ()):
            root = analysis.roots.get(user)
            if not isinstance(root, Scalar) or root.function not in ("multiply", "negative") or user.provenance.declared.is_derived:
                continue
            others = [x for x in user.operands if x.node is not factor]
            if set(parameters) & set(topological_order(others)):
                return True
            pending.append(user)
    return False


def _squared(node: Node, analysis: Analysis) -> Tensor | None:
    """The difference of which `node` is the square."""
    root = analysis.roots.get(node)
    if not isinstance(root, Scalar) or not node.operands:
        return None
    is_product = root.function == "multiply" and root.operands[0] is root.operands[1] and isinstance(root.operands[0], Variable)
    is_power = root.function == "power" and analysis.ranges[node.operands[-1]].number == 2
    found = _moved(node.operands[0])
    inner = analysis.roots.get(found.node)
    return found if (is_product or is_power) and isinstance(inner, Scalar) and inner.function == "subtract" else None


def _flattens(node: Node, analysis: Analysis) -> bool:
    """Whether the values lie between 0 and 1 and those that they are computed from, with numbers alone, have no bounds."""
    found = analysis.ranges.get(node.output)
    if found is None or (found.lower, found.upper) != (0.0, 1.0):
        return False
    inner = _bare(node.output, analysis)
    source = inner if _is_free(inner, analysis) else inner.node.operands[0] if len(inner.node.operands) == 1 else inner
    return _is_free(source, analysis) and (source is inner or isinstance(analysis.roots.get(inner.node), Scalar))


def _is_free(tensor: Tensor, analysis: Analysis) -> bool:
    found = analysis.ranges[tensor]
    return is_floating(tensor.dtype) and (found.lower, found.upper) == (-INF, INF)


def _bare(tensor: Tensor, analysis: Analysis) -> Tensor:
    """What is only shifted, scaled and raised by numbers in `tensor`, as in 1 / (1 + exp(-x))."""
    while True:
        root = analysis.roots.get(tensor.node)
        varying = [operand for operand in tensor.node.operands if analysis.ranges[operand].number is None]
        if not isinstance(root, Scalar) or root.function not in _PLAIN or len(varying) != 1 or _is_free(tensor, analysis):
            return tensor
        tensor = _moved(varying[0])


def rectified(graph: Graph) -> list[Tensor]:
    """The activations that are 0 for a whole half of their operand's values, as a relu is: their units can die.

    Of an operand without bounds they are at least 0, can be 0, and grow with it.
    """
    analysis = Analysis(graph, [tensor for tensor in graph.parameters if is_floating(tensor.dtype)])
    found = []
    for node in graph.nodes:
        own = analysis.ranges[node.output]
        if node.op.pattern != "pointwise" or node.provenance.declared.is_derived or len(node.operands) != 1 or node.output.ndim < 2:
            continue
        operand = analysis.ranges[node.operands[0]]
        if (own.lower, own.upper, own.may_be_zero, own.steep) == (0.0, INF, True, False) and (operand.lower, operand.upper) == (-INF, INF):
            found.append(node.output)
    return found


def _moved(tensor: Tensor) -> Tensor:
    """What `tensor` only repeats or reshapes."""
    while len(tensor.node.operands) == 1 and tensor.node.op.pattern == "injective" and reading_of(tensor.node).is_movement:
        (tensor,) = tensor.node.operands
    return tensor


def dead_paths(graph: Graph, analysis: Analysis, parameters: Iterable[Tensor], told: Collection[Node]) -> Iterator[Finding]:
    """Parameters that the outputs read, and whose gradient is 0 whatever the numbers are.

    Not where something else was told about the path already, and not where the user says that gradients stop.
    """
    ends = {tensor.node for tensor in graph.outputs if is_floating(tensor.dtype)}
    for tensor in parameters:
        alive, reached, cuts = {tensor.node}, {tensor.node}, []
        for node in graph.nodes:
            if node.provenance.declared.is_derived or not any(operand.node in reached for operand in node.operands):
                continue
            reached.add(node)
            if not any(operand.node in alive for operand in node.operands):
                continue
            if _stops(node, analysis):
                cuts.append(node)
            else:
                alive.add(node)
        if not cuts or alive & ends or not reached & ends or any(node in told or node.op.name == "stop_gradient" for node in reached):
            continue
        text = f"no gradient reaches {tensor.name or tensor.node.told}: the slope of {cuts[0].op.name} is 0 everywhere"
        yield Finding("dead gradient", text, PATHS, cuts[0].provenance.declared.source, cuts[0])


def _stops(node: Node, analysis: Analysis) -> bool:
    """Whether no change of the operands changes the result a little: it has steps, or is the same for all of them."""
    if not any(is_floating(x.dtype) for x in node.outputs) or not any(is_floating(x.dtype) for x in node.operands):
        return True
    if all(analysis.ranges[x].number is not None for x in node.outputs):
        return True
    return node.op.pattern == "pointwise" and _is_flat(node.op, tuple(x.type for x in node.operands))


@functools.lru_cache(maxsize=1024)
def _is_flat(op: Op, types: tuple[TensorType, ...]) -> bool:
    """Whether the derivative of a scalar op by all its operands is 0."""
    operands = [Placeholder(f"x{k}", type.dtype, type.shape)() for k, type in enumerate(types)]
    output = op(*operands)
    try:
        found = op.vjp(Placeholder("g", output.dtype, output.shape)(), output, *operands)
    except GradientError:
        return False
    return all(one is None or Analysis(Graph(one)).ranges[one].number == 0 for one in found)
