"""Sources, and the ops that move elements."""

from __future__ import annotations

import numpy as np

from ...ir import Node
from ...sizes import Dim, Size
from ..elements import element_number
from ..writer import Writer, writes

LOWEST = np.iinfo("int64").min


@writes("parameter")
def _parameter(writer: Writer, node: Node) -> str:
    return writer.weight(node.op.label, node.op.state.read())


@writes("constant")
def _constant(writer: Writer, node: Node) -> str:
    return writer.constant(node.op.state.read())


@writes("full")
def _full(writer: Writer, node: Node) -> str:
    value, dtype = node.op.value, node.output.dtype
    name = writer.emit("Cast", writer.size(value), to=element_number(dtype)) if isinstance(value, Size) else writer.constant(value, dtype)
    return writer.emit("Expand", name, writer.vector(node.output.shape)) if node.output.shape else writer.emit("Identity", name)


@writes("iota")
def _iota(writer: Writer, node: Node) -> str:
    shape, axis = node.output.shape, node.op.axis
    counted = writer.emit("Range", writer.size(0), writer.size(shape[axis]), writer.size(1))
    aligned = writer.emit("Reshape", counted, writer.vector([size if k == axis else 1 for k, size in enumerate(shape)]), allowzero=1)
    return writer.emit("Cast", writer.emit("Expand", aligned, writer.vector(shape)), to=element_number(node.output.dtype))


@writes("broadcast_to")
def _broadcast_to(writer: Writer, node: Node) -> str:
    return writer.emit("Expand", writer.name(node.operands[0]), writer.vector(node.output.shape))


@writes("reshape")
def _reshape(writer: Writer, node: Node) -> str:
    return writer.emit("Reshape", writer.name(node.operands[0]), writer.vector(node.output.shape), allowzero=1)


@writes("transpose")
def _transpose(writer: Writer, node: Node) -> str:
    return permuted(writer, writer.name(node.operands[0]), list(node.op.axes))


def permuted(writer: Writer, name: str, order: list[int]) -> str:
    """A tensor with its axes in another order."""
    return name if order == sorted(order) else writer.emit("Transpose", name, perm=order)


@writes("slice")
def _slice(writer: Writer, node: Node) -> str:
    op, x = node.op, node.operands[0]
    axes = [k for k, (start, size, step) in enumerate(zip(op.starts, op.sizes, op.steps, strict=True)) if (start, step) != (0, 1) or size != x.shape[k]]
    ends = [_end(op.starts[k], op.sizes[k], op.steps[k]) for k in axes]
    bounds = (writer.vector([op.starts[k] for k in axes]), writer.vector(ends), writer.constant(axes, "int64"))
    return writer.emit("Slice", writer.name(x), *bounds, writer.constant([op.steps[k] for k in axes], "int64"))


def _end(start: Dim, size: Dim, step: int) -> Dim:
    """Where a slice ends. Before the first element there is no number for the end, only a very small one."""
    end = start + (size - 1) * step + (1 if step > 0 else -1)
    return int(LOWEST) if step < 0 and isinstance(end, int) and end < 0 else end


@writes("pad")
def _pad(writer: Writer, node: Node) -> str:
    x, op = node.operands[0], node.op
    if not x.shape:
        return writer.emit("Identity", writer.name(x))
    if x.dtype == "bool":
        wide = writer.emit("Cast", writer.name(x), to=element_number("int32"))
        found = writer.emit("Pad", wide, writer.vector([*op.low, *op.high]), writer.constant(int(op.value), "int32"))
        return writer.emit("Cast", found, to=element_number("bool"))
    return writer.emit("Pad", writer.name(x), writer.vector([*op.low, *op.high]), writer.constant(op.value, x.dtype))


@writes("place")
def _place(writer: Writer, node: Node) -> str:
    """Zeros with the operand's elements at every step: first apart from each other, then from the borders."""
    x, op = node.operands[0], node.op
    name, sizes = writer.name(x), list(x.shape)
    if not sizes:
        return writer.emit("Identity", name)
    back = [k for k, step in enumerate(op.steps) if step < 0]
    if back:
        ends = writer.constant([LOWEST] * len(back), "int64")
        steps = writer.constant([-1] * len(back), "int64")
        name = writer.emit("Slice", name, writer.vector([sizes[k] - 1 for k in back]), ends, writer.constant(back, "int64"), steps)
    starts = [start + (size - 1) * step if step < 0 else start for start, size, step in zip(op.starts, sizes, op.steps, strict=True)]
    name = spread_apart(writer, name, sizes, [abs(step) for step in op.steps], x.dtype)
    wide = [(size - 1) * abs(step) + 1 for size, step in zip(sizes, op.steps, strict=True)]
    high = [whole - start - size for whole, start, size in zip(op.shape, starts, wide, strict=True)]
    return writer.emit("Pad", name, writer.vector([*starts, *high]), writer.constant(0, x.dtype))


def spread_apart(writer: Writer, name: str, sizes: list[Dim], steps: list[int], dtype: str) -> str:
    """A tensor of these sizes with zeros between its elements, so that they stand `steps` apart."""
    if all(step == 1 for step in steps):
        return name
    pairs: list[Dim] = [part for size in sizes for part in (size, 1)]
    zeros: list[Dim] = [0] * (2 * len(sizes))
    more: list[Dim] = [part for step in steps for part in (0, step - 1)]
    apart = writer.emit("Reshape", name, writer.vector(pairs), allowzero=1)
    filled = writer.emit("Pad", apart, writer.vector([*zeros, *more]), writer.constant(0, dtype))
    wide = writer.emit("Reshape", filled, writer.vector([size * step for size, step in zip(sizes, steps, strict=True)]), allowzero=1)
    ends = writer.vector([(size - 1) * step + 1 for size, step in zip(sizes, steps, strict=True)])
    return writer.emit("Slice", wide, writer.constant([0] * len(sizes), "int64"), ends)


@writes("concatenate")
def _concatenate(writer: Writer, node: Node) -> str:
    return writer.emit("Concat", *(writer.name(x) for x in node.operands), axis=node.op.axis)


@writes("write_slice")
def _write_slice(writer: Writer, node: Node) -> str:
    """What comes before, what is new, and what comes after."""
    (x, new), op = node.operands, node.op
    whole, end = x.shape[op.axis], op.start + new.shape[op.axis]

    def part(first: Dim, last: Dim) -> str:
        return writer.emit("Slice", writer.name(x), writer.vector([first]), writer.vector([last]), writer.constant([op.axis], "int64"))

    return writer.emit("Concat", part(0, op.start), writer.name(new), part(end, whole), axis=op.axis)


@writes("take")
def _take(writer: Writer, node: Node) -> str:
    x, indices = node.operands
    return writer.emit("Gather", writer.name(x), _plain(writer, writer.name(indices), indices.dtype), axis=node.op.axis)


def _plain(writer: Writer, name: str, dtype: str) -> str:
    """Indices in a dtype that ONNX takes."""
    return name if dtype in ("int32", "int64") else writer.emit("Cast", name, to=element_number("int64"))


@writes("take_along_axis")
def _take_along_axis(writer: Writer, node: Node) -> str:
    x, indices = node.operands
    return writer.emit("GatherElements", writer.name(x), _plain(writer, writer.name(indices), indices.dtype), axis=node.op.axis)


@writes("checked_index")
def _checked_index(writer: Writer, node: Node) -> str:
    name = writer.emit("Cast", writer.name(node.operands[0]), to=element_number("int64"))
    wrapped = writer.emit("Add", name, writer.size(node.op.size))
    return writer.emit("Where", writer.emit("Less", name, writer.size(0)), wrapped, name)


@writes("scatter_add")
def _scatter_add(writer: Writer, node: Node) -> str:
    x, indices, updates = node.operands
    axis = node.op.axis
    order = [axis, *(k for k in range(x.ndim) if k != axis)]
    behind = range(axis, axis + indices.ndim)
    moved = [*behind, *(k for k in range(updates.ndim) if k not in behind)]
    wide = writer.emit("Cast", writer.name(indices), to=element_number("int64"))
    at = writer.emit("Unsqueeze", wide, writer.constant([-1], "int64"))
    base, given = permuted(writer, writer.name(x), order), permuted(writer, writer.name(updates), moved)
    return permuted(writer, writer.emit("ScatterND", base, at, given, reduction="add"), [int(k) for k in np.argsort(order)])


@writes("at_least", "custom_gradient", "recompute", "deferred")
def _identity(writer: Writer, node: Node) -> str:
    return writer.emit("Identity", writer.name(node.operands[0]))
