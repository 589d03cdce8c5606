"""Packing: operands are copied through their index maps or expressions into panels that the micro-kernel streams.

B becomes panels [panel][k][columns]; the padding columns of the last panel are left as they are, for no result depends on them.
A keeps its layout, with rows padded to an odd number of cache lines: the micro-kernel broadcasts single elements of A and takes strides.
"""

from __future__ import annotations

from collections.abc import Callable

from ..llvm import I64, Function, Module, Type, Value
from .integers import BYTES
from .interface import Axis, Direct, Operand, Parts
from .kernel import Prepare, least, open_kernel, split
from .schedule import Schedule
from .transpose import transpose

ROWS_AT_ONCE = 64  # of B, copied into all panels before the next ones: so many pages stay mapped and are read along
_Copy = Callable[[Value, int, Value | None], None]


def pack_a(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> str:
    """Emit the kernel that packs A; a task is one row of the packed matrix."""
    f, parts, shape = open_kernel(module, schedule, name, prepare)
    rows, extent = (quantity.value for quantity in schedule.packed_a_extents(shape))
    leading = schedule.leading_dimension(schedule.packed_a_extents(shape)[1]).value
    axis: Axis = "mn" if schedule.a.contiguous == "mn" else "k"
    assert parts.packed_a is not None
    flipped = schedule.flipped
    with f.loop(f.parameters[1], f.parameters[2]) as task:
        batch, row = split(f, task.index, rows)
        target = f.offset(parts.packed_a, f.mul(task.index, leading), schedule.scalar.scalar)

        def copy(at: Value, lanes: int, mask: Value | None) -> None:
            free, k = (at, row) if axis == "mn" else (row, at)
            value = parts.a.vector(f, batch, free, k, lanes, axis, mask)
            value = f.bit_xor(value, value.type.const(flipped)) if flipped else value
            f.store(value, f.offset(target, at, schedule.scalar.scalar), mask)

        if parts.pieces and not schedule.a.is_direct and schedule.integers is None:
            parts.pieces.pack_left(f, batch, row, f.emit(I64, f"udiv {extent.typed}, {schedule.b.taps}"), target)
        else:
            _copy_row(f, schedule, extent, _readable(f, schedule, parts, extent, axis), copy)
    f.ret()
    return name


def _readable(f: Function, schedule: Schedule, parts: Parts, extent: Value, axis: Axis) -> Value:
    """How far along a row of A whole vectors may be read. Without masks it is the words that are whole."""
    if schedule.integers is None or axis == "mn" or schedule.target.has_masks:
        return extent
    return f.emit(I64, f"udiv {parts.k.typed}, {BYTES}")


def _copy_row(f: Function, schedule: Schedule, extent: Value, readable: Value, copy: _Copy) -> None:
    """Whole vectors, then the tail: one masked vector, or single elements where there are no masks."""
    lanes = schedule.lanes
    whole = f.mul(f.emit(I64, f"udiv {readable.typed}, {lanes}"), I64.const(lanes))
    with f.loop(I64.const(0), whole, lanes) as loop:
        copy(loop.index, lanes, None)
    if not schedule.target.has_masks:
        with f.loop(whole, extent) as loop:
            copy(loop.index, 0, None)
        return
    with f.when(f.compare("slt", whole, extent)):
        copy(whole, lanes, f.tail_mask(f.sub(extent, whole), lanes))


def pack_b(module: Module, schedule: Schedule, name: str, prepare: Prepare) -> str:
    """Emit the kernel that packs B; a task is one panel."""
    f, parts, shape = open_kernel(module, schedule, name, prepare)
    panels, width = schedule.packed_panels(shape).value, I64.const(schedule.panel_columns)
    assert parts.packed_b is not None
    depth = schedule.depth(shape).value
    at_once = ROWS_AT_ONCE if schedule.integers is None else ROWS_AT_ONCE // BYTES
    rows = I64.const(at_once if schedule.b.contiguous != "k" else 1 << 40)
    with f.loop(I64.const(0), depth, rows) as block, f.loop(f.parameters[1], f.parameters[2]) as task:
        batch, panel = split(f, task.index, panels)
        first = f.mul(panel, width)
        target = f.offset(parts.packed_b, f.mul(task.index, f.mul(depth, width)), schedule.scalar.scalar)
        writer = _PanelWriter(f, schedule, parts, depth, batch, first, target)
        if schedule.b.contiguous == "k":
            writer.transposed()
        else:
            writer.straight(block.index, least(f, f.add(block.index, rows), depth))
    f.ret()
    return name


class _PanelWriter:
    """Writes the code that packs the panel of B whose first column is `first` to `target`."""

    def __init__(self, f: Function, schedule: Schedule, parts: Parts, depth: Value, batch: Value, first: Value, target: Value) -> None:
        self.f, self.schedule, self.parts, self.b = f, schedule, parts, parts.b
        self.depth, self.batch, self.first, self.target = depth, batch, first, target
        self.lanes, self.width = schedule.lanes, schedule.panel_columns
        self.columns = least(f, f.sub(parts.n, first), I64.const(self.width))

    def _address(self, k: Value, column: Value) -> Value:
        return self.f.offset(self.target, self.f.add(self.f.mul(k, I64.const(self.width)), column), self.schedule.scalar.scalar)

    def straight(self, begin: Value, end: Value) -> None:
        """Copy a block of k along the columns: the free axis is contiguous, or nothing is."""
        f = self.f
        is_whole = f.compare("eq", self.columns, I64.const(self.width))
        with f.when(is_whole), f.loop(begin, end) as loop:
            for column in range(0, self.width, self.lanes):
                self._copy(loop.index, I64.const(column), self.lanes, None)
        with f.when(f.bit_xor(is_whole, is_whole.type.const(True))), f.loop(begin, end) as loop:
            self._tail(loop.index)

    def _tail(self, k: Value) -> None:
        f = self.f
        if not self.schedule.target.has_masks:
            with f.loop(I64.const(0), self.columns) as loop:
                self._copy(k, loop.index, 0, None)
            return
        with f.loop(I64.const(0), self.columns, self.lanes) as loop:
            self._copy(k, loop.index, self.lanes, f.tail_mask(f.sub(self.columns, loop.index), self.lanes))

    def _copy(self, k: Value, column: Value, lanes: int, mask: Value | None) -> None:
        value = self.b.vector(self.f, self.batch, self.f.add(self.first, column), k, lanes, "mn", mask)
        self.f.store(value, self._address(k, column), mask)

    def transposed(self) -> None:
        """k is contiguous: square blocks go through registers. The last block of k overlaps the one before instead of being partial."""
        f, k = self.f, self.depth
        lanes = I64.const(self.lanes)
        with f.loop(I64.const(0), self.columns, self.lanes) as block:
            rows = _BlockRows(f, self.schedule.scalar.with_lanes(self.lanes), self.b, self.batch, self._free(block.index))
            last = f.sub(k, lanes)
            with f.when(f.compare("sge", k, lanes)), f.loop(I64.const(0), k, self.lanes) as loop:
                start = least(f, loop.index, last)
                for i, column in enumerate(transpose(f, rows.load(start))):
                    f.store(column, self._address(f.add(start, I64.const(i)), block.index))
        with f.when(f.compare("slt", k, lanes)), f.loop(I64.const(0), k) as loop, f.loop(I64.const(0), self.columns) as inner:
            self._copy(loop.index, inner.index, 0, None)

    def _free(self, column: Value) -> list[Value]:
        """The columns of a block; those past the end repeat the last one."""
        f = self.f
        end = f.sub(self.parts.n, I64.const(1))
        start = f.add(self.first, column)
        return [least(f, f.add(start, I64.const(i)), end) for i in range(self.lanes)]


class _BlockRows:
    """The rows of a square block, read along k."""

    def __init__(self, f: Function, vector: Type, operand: Operand, batch: Value, free: list[Value]) -> None:
        self.f, self.vector, self.operand, self.batch, self.free = f, vector, operand, batch, free
        self.bases = [row_address(f, operand.direct, vector.scalar, batch, index) for index in free] if operand.direct else []
        self.scratch = None if operand.direct else f.alloca(vector, vector.lanes)

    def load(self, k: Value) -> list[Value]:
        f = self.f
        if self.scratch is None:
            return [f.load(f.offset(base, k, self.vector.scalar), self.vector) for base in self.bases]
        return self._evaluate(k, self.scratch)

    def _evaluate(self, k: Value, scratch: Value) -> list[Value]:
        """An expression is written once, in a loop over the rows, instead of once per row."""
        f, lanes = self.f, self.vector.lanes
        with f.loop(I64.const(0), I64.const(lanes)) as loop:
            free = least(f, f.add(self.free[0], loop.index), self.free[-1])
            value = self.operand.vector(f, self.batch, free, k, lanes, "k", None)
            f.store(value, f.offset(scratch, f.mul(loop.index, I64.const(lanes)), self.vector.scalar))
        return [f.load(f.offset(scratch, I64.const(i * lanes), self.vector.scalar), self.vector) for i in range(lanes)]


def row_address(f: Function, direct: Direct, scalar: str, batch: Value, row: Value) -> Value:
    """Where `row` of `batch` begins."""
    start = f.offset(direct.pointer, f.mul(batch, direct.batch_stride), scalar)
    return f.offset(start, f.mul(row, direct.row_stride), scalar)
