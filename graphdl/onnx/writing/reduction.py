"""Products, reductions, windows and running sums."""

from __future__ import annotations

import numpy as np

from ...control.scan import scan
from ...errors import UnsupportedOpError
from ...ir import Node, Tensor
from ...ops.shape import swapaxes
from ...ops.source import full
from ...sizes import Dim
from ...types import is_floating
from ..elements import element_number
from ..writer import Writer, writes
from .structure import spread_apart


@writes("matmul")
def _matmul(writer: Writer, node: Node) -> str:
    return writer.emit("MatMul", *(writer.name(x) for x in node.operands))


@writes("einsum")
def _einsum(writer: Writer, node: Node) -> str:
    return writer.emit("Einsum", *(writer.name(x) for x in node.operands), equation=f"{','.join(node.op.inputs)}->{node.op.output}")


@writes("sum", "prod", "max", "min", "logsumexp")
def _reduce(writer: Writer, node: Node) -> str:
    kind = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin", "logsumexp": "ReduceLogSumExp"}[node.op.name]
    axes = writer.constant(list(node.op.axes), "int64")
    return writer.emit(kind, writer.name(node.operands[0]), axes, keepdims=0, noop_with_empty_axes=1)


@writes("all", "any")
def _of_bools(writer: Writer, node: Node) -> str:
    number = writer.emit("Cast", writer.name(node.operands[0]), to=element_number("int32"))
    kind = "ReduceMin" if node.op.name == "all" else "ReduceMax"
    found = writer.emit(kind, number, writer.constant(list(node.op.axes), "int64"), keepdims=0, noop_with_empty_axes=1)
    return writer.emit("Cast", found, to=element_number("bool"))


@writes("argmax", "argmin")
def _arg(writer: Writer, node: Node) -> str:
    x, axes = node.operands[0], node.op.axes
    kind = "ArgMax" if node.op.name == "argmax" else "ArgMin"
    name = writer.name(x) if x.dtype != "bool" else writer.emit("Cast", writer.name(x), to=element_number("int32"))
    if len(axes) == 1:
        return writer.emit(kind, name, axis=axes[0], keepdims=0)
    flat = writer.emit("Reshape", name, writer.constant([-1], "int64"))
    return writer.emit(kind, flat, axis=0, keepdims=0)


@writes("argsort")
def _argsort(writer: Writer, node: Node) -> str:
    (x,), axis = node.operands, node.op.axis
    name = writer.name(x) if x.dtype != "bool" else writer.emit("Cast", writer.name(x), to=element_number("int32"))
    count = writer.vector((x.shape[axis],))
    return writer.emit_all("TopK", name, count, results=2, axis=axis, largest=int(node.op.descending))[1]


@writes("softmax", "log_softmax")
def _softmax(writer: Writer, node: Node) -> str:
    kind = "Softmax" if node.op.name == "softmax" else "LogSoftmax"
    return writer.emit(kind, writer.name(node.operands[0]), axis=node.op.axis)


@writes("cumsum")
def _cumsum(writer: Writer, node: Node) -> str:
    op = node.op
    return writer.emit("CumSum", writer.name(node.operands[0]), writer.constant(op.axis, "int64"), exclusive=int(op.exclusive), reverse=int(op.reverse))


@writes("cross_entropy")
def _cross_entropy(writer: Writer, node: Node) -> str:
    logits, target = node.operands
    extra = {} if node.op.ignored is None else {"ignore_index": int(node.op.ignored)}
    name = writer.emit("Cast", writer.name(target), to=element_number("int64"))
    return writer.emit("SoftmaxCrossEntropyLoss", writer.name(logits), name, reduction="none", **extra)


def _bordered(writer: Writer, node: Node) -> tuple[str, list[Dim]]:
    """The data with its elements apart, and with its padding added, or the padding as numbers for the node itself."""
    op, x = node.op, node.operands[0]
    spatial = x.ndim - 2
    steps = [1, 1, *op.input_dilation]
    name = spread_apart(writer, writer.name(x), list(x.shape), steps, x.dtype)
    pads: list[Dim] = [*op.low, *op.high]
    if all(isinstance(width, int) and width >= 0 for width in pads):
        return name, pads
    widths = writer.vector([0, 0, *op.low, 0, 0, *op.high])
    return writer.emit("Pad", name, widths, writer.constant(0, x.dtype)), [0] * (2 * spatial)


@writes("convolution")
def _convolution(writer: Writer, node: Node) -> str:
    op, w = node.op, node.operands[1]
    if not is_floating(w.dtype):
        raise UnsupportedOpError(f"{node.told} cannot be written as ONNX nodes: Conv takes floating data, not {w.dtype}")
    name, pads = _bordered(writer, node)
    options = {"strides": list(op.strides), "dilations": list(op.dilation), "group": op.groups, "pads": pads}
    return writer.emit("Conv", name, writer.name(w), **options)


@writes("window_sum")
def _window_sum(writer: Writer, node: Node) -> str:
    """A convolution of every channel by itself with ones."""
    op, x = node.op, node.operands[0]
    name, pads = _bordered(writer, node)
    channels = x.shape[1]
    if not isinstance(channels, int):
        raise UnsupportedOpError(f"{node.told} cannot be written as ONNX nodes: the number of channels is symbolic")
    ones = writer.constant(np.ones((channels, 1, *op.kernel)), x.dtype)
    return writer.emit("Conv", name, ones, strides=list(op.strides), dilations=list(op.dilation), group=channels, pads=pads)


@writes("max_pool")
def _max_pool(writer: Writer, node: Node) -> str:
    op, x = node.op, node.operands[0]
    pads: list[Dim] = [*op.low, *op.high]
    name = writer.name(x)
    reach = [(taps - 1) * d + 1 for taps, d in zip(op.kernel, op.dilation, strict=True)] * 2
    if not all(isinstance(width, int) and 0 <= width < most for width, most in zip(pads, reach, strict=True)):
        lowest = writer.constant(float("-inf"), x.dtype)
        name = writer.emit("Pad", name, writer.vector([0, 0, *op.low, 0, 0, *op.high]), lowest)
        pads = [0 for _ in pads]
    return writer.emit("MaxPool", name, kernel_shape=list(op.kernel), strides=list(op.strides), dilations=list(op.dilation), pads=pads)


@writes("cumprod")
def _cumprod(writer: Writer, node: Node) -> str:
    """A scan, as opset 18 has running sums only."""
    op, (x,) = node.op, node.operands
    steps = swapaxes(x, 0, op.axis)
    one = full(steps.shape[1:], 1, x.dtype)

    def step(product: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        return product * now, product if op.exclusive else product * now

    _, found = scan(step, one, steps, reverse=op.reverse)
    return writer.written(swapaxes(found, 0, op.axis))
