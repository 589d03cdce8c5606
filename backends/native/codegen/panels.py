"""Panels of a product in pieces: how a task packs them, and what it does with the finished sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from graphdl.kernel.expression import Axis
from graphdl.sizes import Dim, ceildiv, floordiv

from ..contraction.interface import Window
from ..contraction.kernel import least, split
from ..llvm import I1, I64, Function, Type, Value
from .affine import linear_part
from .comparison import bound_of
from .emitter import Emitter
from .loops import store_all
from .pieces import Pieces
from .ranges import Range, range_load, start_of
from .registers import REGISTER

Body = Callable[[Value], None]  # is given where the lanes lie in the panel


class PanelWriter:
    """Packs and finishes panels in one kernel function; `batch` and `m` are the product's other axes."""

    def __init__(self, emitter: Emitter, pieces: Pieces, batch: Axis, m: Axis, lanes: int, width: int) -> None:
        self.emitter, self.pieces, self.batch, self.m = emitter, pieces, batch, m
        self.lanes, self.width = lanes, width
        self.last = pieces.columns[-1]
        self.type, self.element = REGISTER[pieces.sums.dtype].with_lanes(lanes), REGISTER[pieces.element.dtype].with_lanes(lanes)
        if self.element.bits < self.type.bits and emitter.target.has_masks:
            self.element = self.element.with_lanes(width)  # a row of bytes is one vector

    def look(self, f: Function, batch: Value, column: Value, columns: Value, offsets: Value, masks: Value) -> Window:
        """Whether the panel of `columns` columns from `column` on is one run. If it is, the offset of every tap and its lanes are written."""
        p, emitter = self.pieces, self.emitter
        size = self._size(p.run)
        run, begin = split(f, column, size)
        is_run = f.compare("sle", f.add(begin, columns), size) if p.run else I1.const(True)
        with f.apart(), emitter.binding(self.batch, batch), self._at_row(f, p.columns[: p.run], run):
            pointer, stride = self._start(begin)
            with f.when(is_run):
                self._note_offsets(f, offsets)
                self._note_bits(f, begin, columns, masks)
        return Window(is_run, pointer, stride)

    def _start(self, begin: Value) -> tuple[Value, Value]:
        """Where the element is for the column `begin` of the open run, the first tap and step 0; and how far the steps are apart."""
        p, emitter = self.pieces, self.emitter
        with ExitStack() as bound:
            for axis in (*p.taps, p.step):
                bound.enter_context(emitter.binding(axis, I64.const(0)))
            bound.enter_context(self._leading_at_zero(p.run))
            bound.enter_context(emitter.binding(self.last, begin))
            return start_of(emitter, p.element, p.step)

    def _note_offsets(self, f: Function, offsets: Value) -> None:
        """Write how far every tap's elements lie from the first one's."""
        with self._taps(f, self.pieces.taps) as tap:
            offset: Value = I64.const(0)
            for axis in self.pieces.taps:
                parts = linear_part(self.pieces.element.index[0], axis)
                assert parts is not None
                offset = f.add(offset, f.mul(self.emitter.bound[axis], self.emitter.index(parts[0])))
            f.store(offset, f.offset(offsets, tap, "i64"))

    def _note_bits(self, f: Function, begin: Value, length: Value, masks: Value) -> None:
        """Write one bit for each place of a run: whether this tap of its window meets an element."""
        p = self.pieces
        with self._taps(f, self.pieces.taps) as tap:
            f.store(I64.const(0) if p.inside else self._ones(length), f.offset(masks, tap, "i64"))
        if not p.inside:
            return
        size = self.emitter.index(self.last.size)
        with self._rows(f, p.columns[p.run : -1], size, begin, length) as (row, first, count), self._taps(f, self.pieces.taps) as tap:
            low, high = self._range_of_row(f, first, count)
            lane = f.sub(f.add(f.mul(row, size), low), begin)
            place = f.offset(masks, tap, "i64")
            f.store(f.bit_or(f.load(place, I64), f.shift_left(self._ones(f.sub(high, low)), lane)), place)

    def _ones(self, count: Value) -> Value:
        """So many bits."""
        f = self.emitter.f
        return f.sub(f.shift_left(I64.const(1), count), I64.const(1))

    def pack(self, f: Function, batch: Value, column: Value, columns: Value, step: Value, steps: Value, target: Value) -> None:
        """Write the panel of `columns` columns from `column` on, for `steps` of the outermost reduced axis, every tap of each."""
        pack_row = self._pack_masked if self.emitter.target.has_masks else self._pack_ranges
        with f.apart(), self.emitter.binding(self.batch, batch), self._runs(f, len(self.pieces.columns) - 1, column, columns) as (lane, begin, length):
            pack_row(f, begin, length, f.offset(target, lane, self.element.scalar), step, steps)

    def pack_left(self, f: Function, batch: Value, row: Value, steps: Value, target: Value) -> None:
        """Write one row of the left side, element by element: steps, and below each all taps."""
        p, emitter = self.pieces, self.emitter
        with (
            f.apart(), emitter.binding(self.batch, batch), emitter.binding(self.m, row),
            f.loop(I64.const(0), steps) as loop, emitter.binding(p.step, loop.index), self._taps(f, p.taps) as tap,
        ):  # fmt: skip
            place = f.add(f.mul(loop.index, I64.const(p.depth)), tap)
            f.store(emitter.value(p.left), f.offset(target, place, self.type.scalar))

    def finish(self, f: Function, batch: Value, row: Value, rows: Value, column: Value, columns: Value, sums: Value, width: Value) -> None:
        """Run the stores over finished sums, whose rows stand `width` apart."""
        p, emitter = self.pieces, self.emitter

        def store(place: Value) -> None:
            lanes = emitter.lanes
            emitter.sums = {p.sums.number: f.load(place, self.type.with_lanes(lanes.count if lanes else 0), lanes.mask if lanes else None)}
            store_all(emitter, p.stores)
            emitter.sums = {}

        with (
            f.apart(), emitter.binding(self.batch, batch),
            self._runs(f, p.written, column, columns) as (lane, begin, length), self._leading_at_zero(p.written),
            f.loop(I64.const(0), rows) as loop, emitter.binding(self.m, f.add(row, loop.index)),
        ):  # fmt: skip
            start = f.offset(sums, f.add(f.mul(loop.index, width), lane), self.type.scalar)
            is_whole = f.compare("eq", length, I64.const(self.width))
            with f.when(is_whole), emitter.vector(self.last, begin, self.width, None):
                store(start)
            with f.when(f.bit_xor(is_whole, I1.const(True))):
                self._vectors(f, begin, length, start, self.type, store)

    # -- loops ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _runs(self, f: Function, first: int, column: Value, columns: Value) -> Iterator[tuple[Value, Value, Value]]:
        """A loop over what the panel has of each run of the columns from axis `first` on: (lane, place in the run, length)."""
        size = self._size(first)
        with self._rows(f, self.pieces.columns[:first], size, column, columns) as (row, begin, length):
            yield f.sub(f.add(f.mul(row, size), begin), column), begin, length

    @contextmanager
    def _rows(self, f: Function, leading: tuple[Axis, ...], size: Value, first: Value, count: Value) -> Iterator[tuple[Value, Value, Value]]:
        """A loop over the rows of `size` places that `count` places from `first` on touch: (row, first place in it, places); `leading` are bound."""
        if not leading:
            yield I64.const(0), first, count
            return
        end = f.add(first, count)
        after = f.add(f.emit(I64, f"udiv {f.sub(end, I64.const(1)).typed}, {size.text}"), I64.const(1))
        with f.loop(f.emit(I64, f"udiv {first.typed}, {size.text}"), after) as loop, self._at_row(f, leading, loop.index):
            start = f.mul(loop.index, size)
            begin = f.intrinsic("smax", I64, start, first)
            yield loop.index, f.sub(begin, start), f.sub(least(f, f.add(start, size), end), begin)

    @contextmanager
    def _at_row(self, f: Function, leading: tuple[Axis, ...], row: Value) -> Iterator[None]:
        """`leading` are bound to the digits of the number of a row."""
        with ExitStack() as bound:
            for axis in reversed(leading[1:]):
                row, index = split(f, row, self.emitter.index(axis.size))
                bound.enter_context(self.emitter.binding(axis, index))
            if leading:
                bound.enter_context(self.emitter.binding(leading[0], row))
            yield

    def _size(self, first: int) -> Value:
        """How many places a run of the columns from axis `first` on has."""
        size: Value = I64.const(1)
        for axis in self.pieces.columns[first:]:
            size = self.emitter.f.mul(size, self.emitter.index(axis.size))
        return size

    @contextmanager
    def _taps(self, f: Function, axes: Sequence[Axis]) -> Iterator[Value]:
        """Loops over axes of the window, and the number of the tap in them."""
        number: Value = I64.const(0)
        with ExitStack() as opened:
            for axis in axes:
                size = self.emitter.index(axis.size)
                loop = opened.enter_context(f.loop(I64.const(0), size))
                opened.enter_context(self.emitter.binding(axis, loop.index))
                number = f.add(f.mul(number, size), loop.index)
            yield number

    @contextmanager
    def _leading_at_zero(self, first: int) -> Iterator[None]:
        """The axes of a run but the last one are 0: that one runs on instead."""
        with ExitStack() as bound:
            for axis in self.pieces.columns[first:-1]:
                bound.enter_context(self.emitter.binding(axis, I64.const(0)))
            yield

    def _vectors(self, f: Function, begin: Value, length: Value, start: Value, type: Type, body: Body) -> None:
        """Run `body` for vectors of places from `begin` on, at memory of `type` from `start` on: masked at the end, or one by one where masks are slow."""
        lanes, whole, masks = type.lanes, length, self.emitter.target.has_masks
        if not masks:
            whole = f.mul(f.emit(I64, f"udiv {length.typed}, {lanes}"), I64.const(lanes))
            with f.loop(whole, length) as loop, self.emitter.binding(self.last, f.add(begin, loop.index)):
                body(f.offset(start, loop.index, type.scalar))
        with f.loop(I64.const(0), whole, lanes) as loop:
            mask = f.tail_mask(f.sub(length, loop.index), lanes) if masks else None
            with self.emitter.vector(self.last, f.add(begin, loop.index), lanes, mask):
                body(f.offset(start, loop.index, type.scalar))

    # -- packing --------------------------------------------------------------------------------------------------

    def _pack_masked(self, f: Function, begin: Value, length: Value, start: Value, step: Value, steps: Value) -> None:
        """A row, where loads and stores take masks: those of a tap along it are the same for all other taps and steps."""
        *others, along = self.pieces.taps or (None,)

        def copy(place: Value) -> None:
            lanes = self.emitter.lanes
            assert lanes
            inside = f.sub(low, lanes.base), f.sub(high, lanes.base)
            with self._taps(f, others) as tap:
                number = f.add(f.mul(tap, count), number_along)
                self._copy(f, self._row_of(f, place, number), step, steps, (inside, self._holds()), lanes.mask)

        with self._taps(f, self.pieces.taps[-1:]) as number_along:
            count = self.emitter.index(along.size) if along else I64.const(1)
            low, high = self._range_inside(f, begin, length)
            self._vectors(f, begin, length, start, self.element, copy)

    def _row_of(self, f: Function, place: Value, tap: Value) -> Value:
        return f.offset(place, f.mul(tap, I64.const(self.width)), self.element.scalar)

    def _holds(self) -> Value | None:
        """Whether there are elements at all in the open row, for the open tap."""
        f, emitter = self.emitter.f, self.emitter
        found: Value | None = None
        for factor, rest in self._bounds():
            if factor == 0:
                one = f.compare("sgt", emitter.index(rest), I64.const(0))
                found = one if found is None else f.bit_and(found, one)
        return found

    def _bounds(self) -> list[tuple[int, Dim]]:
        bounds = [bound_of(condition, self.last) for condition in self.pieces.inside]
        return [bound for bound in bounds if bound is not None]

    def _range_inside(self, f: Function, first: Value, count: Value) -> tuple[Value, Value]:
        """From where to where the places of a row, `count` of them from `first` on, have an element for this tap, if the row has any."""
        low = first
        high = end = f.add(first, count)
        for factor, rest in self._bounds():
            if factor < 0:  # place * -factor < rest
                high = least(f, high, self.emitter.index(ceildiv(rest, -factor)))
            elif factor > 0:
                low = f.intrinsic("smax", I64, low, self.emitter.index(floordiv(-rest, factor) + 1))
        low = least(f, low, end)
        return low, f.intrinsic("smax", I64, low, high)

    def _range_of_row(self, f: Function, first: Value, count: Value) -> tuple[Value, Value]:
        """The same, empty if the row has no elements for this tap."""
        low, high = self._range_inside(f, first, count)
        holds = self._holds()
        return low, high if holds is None else f.select(holds, high, low)

    def _pack_ranges(self, f: Function, begin: Value, length: Value, start: Value, step: Value, steps: Value) -> None:
        """A row without masks: zeros, elements, zeros."""

        def clear(place: Value) -> None:
            lanes = self.emitter.lanes
            with f.loop(I64.const(0), steps, carried=[place]) as loop:
                f.store(self.element.with_lanes(lanes.count if lanes else 0).const(0), loop.carried[0])
                loop.next = [self._next_row(f, loop.carried[0])]

        def copy(place: Value) -> None:
            self._copy(f, place, step, steps, None, None)

        with self._taps(f, self.pieces.taps) as tap:
            low, high = self._range_of_row(f, begin, length)
            target = self._row_of(f, start, tap)
            for first, last, body in ((begin, low, clear), (low, high, copy), (high, f.add(begin, length), clear)):
                self._vectors(f, first, f.sub(last, first), f.offset(target, f.sub(first, begin), self.element.scalar), self.element, body)

    def _next_row(self, f: Function, place: Value) -> Value:
        return f.offset(place, I64.const(self.pieces.depth * self.width), self.element.scalar)

    def _copy(self, f: Function, place: Value, step: Value, steps: Value, inside: tuple[Range, Value | None] | None, mask: Value | None) -> None:
        """The open lanes of one tap, step by step: two pointers that move on."""
        emitter, x = self.emitter, self.pieces.element
        with emitter.binding(self.pieces.step, step):
            source, stride = start_of(emitter, x, self.pieces.step)
        load = range_load(emitter, x, *(inside or (None, None)))
        with f.loop(I64.const(0), steps, carried=[source, place]) as loop:
            f.store(load(loop.carried[0]), loop.carried[1], mask)
            loop.next = [f.offset(loop.carried[0], stride, self.element.scalar), self._next_row(f, loop.carried[1])]
