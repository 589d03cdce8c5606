"""Bodies: cond as If, scan as Scan, while as Loop. What a body captures it reads by its name outside."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from ...ir import Graph, Node, Tensor
from ..writer import Writer, value_info, writes


def _body(writer: Writer, name: str, graph: Graph, own: Sequence[Tensor], captured: Sequence[Tensor]) -> Writer:
    """A writer of a body whose last inputs are `captured` tensors of the outer graph; the others get names."""
    inner = Writer(writer)
    for tensor in own:
        inner.names[tensor] = writer.fresh(f"{name}.{tensor.name}")
    for tensor, outer in zip(graph.inputs[len(own) :], captured, strict=True):
        inner.names[tensor] = writer.name(outer)
    inner.write(graph)
    return inner


def _results(inner: Writer, tensors: Sequence[Tensor]) -> list[onnx.ValueInfoProto]:
    """Declarations of results; each gets a name of its own, as outputs must differ from inputs and each other."""
    return [value_info(inner.emit("Identity", inner.name(tensor)), tensor.type) for tensor in tensors]


def _inputs(inner: Writer, tensors: Sequence[Tensor]) -> list[onnx.ValueInfoProto]:
    return [value_info(inner.names[tensor], tensor.type) for tensor in tensors]


@writes("cond")
def _cond(writer: Writer, node: Node) -> tuple[str, ...]:
    predicate, *given = node.operands
    branches = {}
    for key, graph in (("then_branch", node.op.then), ("else_branch", node.op.otherwise)):
        inner = _body(writer, key, graph, [], given)
        branches[key] = inner.graph(key, [], _results(inner, graph.outputs))
    return tuple(writer.emit_all("If", writer.name(predicate), results=len(node.outputs), **branches))


@writes("scan")
def _scan(writer: Writer, node: Node) -> tuple[str, ...]:
    op = node.op
    own = op.body.inputs[: op.carries + op.sequences]
    given = node.operands[: op.carries + op.sequences]
    inner = _body(writer, "scan", op.body, own, node.operands[op.carries + op.sequences :])
    names, inputs, count = [writer.name(x) for x in given], _inputs(inner, own), op.sequences
    if not count:  # Scan goes along something: along the numbers of the steps
        names.append(writer.emit("Range", writer.size(0), writer.size(op.length), writer.size(1)))
        inputs.append(onnx.helper.make_tensor_value_info(writer.fresh("scan.step"), onnx.TensorProto.INT64, []))
        count = 1
    graph = inner.graph("scan", inputs, _results(inner, op.body.outputs))
    stacks = len(op.body.outputs) - op.carries
    directions = {"scan_input_directions": [int(op.reverse)] * count}
    if stacks:
        directions["scan_output_directions"] = [int(op.reverse)] * stacks
    return tuple(writer.emit_all("Scan", *names, results=len(node.outputs), body=graph, num_scan_inputs=count, **directions))


@writes("while")
def _while(writer: Writer, node: Node) -> tuple[str, ...]:
    """Loop tests after each step, so the condition is written twice: before the loop, and at the end of its body."""
    op = node.op
    own, captured = op.body.inputs[: op.carries], node.operands[op.carries :]
    start = Writer(writer)
    start.names.update(zip(op.condition.inputs, [writer.name(x) for x in node.operands], strict=True))
    start.write(op.condition)
    writer.nodes += start.nodes
    inner = _body(writer, "loop", op.body, own, captured)
    inputs, results = _inputs(inner, own), _results(inner, op.body.outputs)
    inner.names.update({tensor: info.name for tensor, info in zip(op.condition.inputs, results, strict=False)})
    inner.names.update({tensor: writer.name(outer) for tensor, outer in zip(op.condition.inputs[op.carries :], captured, strict=True)})
    inner.write(op.condition)
    going = _results(inner, op.condition.outputs)
    step = onnx.helper.make_tensor_value_info(writer.fresh("loop.step"), onnx.TensorProto.INT64, [])
    before = onnx.helper.make_tensor_value_info(writer.fresh("loop.going"), onnx.TensorProto.BOOL, [])
    graph = inner.graph("loop", [step, before, *inputs], [*going, *results])
    first = start.name(op.condition.outputs[0])
    return tuple(writer.emit_all("Loop", "", first, *(writer.name(x) for x in node.operands[: op.carries]), results=len(node.outputs), body=graph))
