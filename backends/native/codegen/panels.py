"""Panels of a product in pieces: how a task packs them, and what it does with the finished sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from graphdl.kernel.expression import Axis
from graphdl.sizes import ceildiv, floordiv

from ..contraction.interface import Window
from ..contraction.kernel import least, split
from ..llvm import I1, I64, PTR, Function, Type, Value
from .affine import linear_part
from .emitter import Emitter, bound_of
from .loops import store_all
from .pieces import Pieces
from .registers import REGISTER

Body = Callable[[Value], None]  # is given where the lanes lie in the panel


class PanelWriter:
    """Packs and finishes panels in one kernel function; `batch` and `m` are the product's other axes."""

    def __init__(self, emitter: Emitter, pieces: Pieces, batch: Axis, m: Axis, lanes: int, width: int) -> None:
        self.emitter, self.pieces, self.batch, self.m = emitter, pieces, batch, m
        self.lanes, self.width = lanes, width
        self.last = pieces.columns[-1]
        self.type = REGISTER[pieces.sums.dtype]

    def look(self, f: Function, batch: Value, column: Value, columns: Value, offsets: Value, masks: Value) -> Window:
        """Whether the panel of `columns` columns from `column` on is one run. If it is, the offset of every tap and its lanes are written."""
        p, emitter = self.pieces, self.emitter
        if not self._may_run:
            return Window(I1.const(False), Value("null", PTR), I64.const(0))
        size = self._size(p.run)
        run, begin = split(f, column, size)
        is_run = f.compare("sle", f.add(begin, columns), size)
        with f.apart(), emitter.binding(self.batch, batch), self._at_row(f, p.columns[: p.run], run):
            pointer, stride = self._start(begin)
            with f.when(is_run), self._taps(f) as tap:
                self._note_tap(f, tap, begin, columns, offsets, masks)
        return Window(is_run, pointer, stride)

    @property
    def _may_run(self) -> bool:
        """Whether neighbouring columns are neighbours in memory, and masks are free."""
        parts = linear_part(self.pieces.element.index[0], self.last)
        return self.emitter.target.has_masks and parts is not None and parts[0] == 1

    def _start(self, begin: Value) -> tuple[Value, Value]:
        """Where the element is for the column `begin` of the open run, the first tap and step 0; and how far the steps are apart."""
        p, emitter = self.pieces, self.emitter
        with ExitStack() as bound:
            for axis in (*p.taps, p.step):
                bound.enter_context(emitter.binding(axis, I64.const(0)))
            bound.enter_context(self._leading_at_zero(p.run))
            bound.enter_context(emitter.binding(self.last, begin))
            return emitter.place(p.element, p.step)

    def _note_tap(self, f: Function, tap: Value, begin: Value, columns: Value, offsets: Value, masks: Value) -> None:
        """Write how far a tap's elements lie from the first one's, and a bit for every lane that has one."""
        offset: Value = I64.const(0)
        for axis in self.pieces.taps:
            parts = linear_part(self.pieces.element.index[0], axis)
            assert parts is not None
            offset = f.add(offset, f.mul(self.emitter.bound[axis], self.emitter.index(parts[0])))
        f.store(offset, f.offset(offsets, tap, "i64"))
        bits, narrow = self._bits_inside(f, begin, columns), Type(f"i{self.lanes}")
        vectors = self.width // self.lanes
        for v in range(vectors):
            place = f.add(f.mul(tap, I64.const(vectors)), I64.const(v))
            f.store(f.convert("trunc", f.shift_right(bits, I64.const(v * self.lanes)), narrow), f.offset(masks, place, narrow.scalar))

    def pack(self, f: Function, batch: Value, column: Value, columns: Value, step: Value, steps: Value, target: Value) -> None:
        """Write the panel of `columns` columns from `column` on, for `steps` of the outermost reduced axis, every tap of each."""
        p, masks = self.pieces, self.emitter.target.has_masks
        first = p.run if masks else len(p.columns) - 1
        with f.apart(), self.emitter.binding(self.batch, batch), self._runs(f, first, column, columns) as (lane, begin, length), self._taps(f) as tap:
            start = f.offset(target, f.add(f.mul(tap, I64.const(self.width)), lane), self.type.scalar)
            (self._pack_masked if masks else self._pack_ranges)(f, begin, length, start, step, steps)

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
            f.loop(I64.const(0), rows) as loop, emitter.binding(self.m, f.add(row, loop.index)),
            self._runs(f, p.written, column, columns) as (lane, begin, length), self._leading_at_zero(p.written),
        ):  # fmt: skip
            start = f.offset(sums, f.add(f.mul(loop.index, width), lane), self.type.scalar)
            self._vectors(f, begin, length, start, store)

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
    def _taps(self, f: Function) -> Iterator[Value]:
        """Loops over the axes of the window, and the number of the tap in it."""
        number: Value = I64.const(0)
        with ExitStack() as opened:
            for axis in self.pieces.taps:
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

    def _vectors(self, f: Function, begin: Value, length: Value, start: Value, body: Body) -> None:
        """Run `body` for vectors of places from `begin` on, at memory from `start` on: masked at the end, or one by one where masks are slow."""
        lanes, whole, masks = self.lanes, length, self.emitter.target.has_masks
        if not masks:
            whole = f.mul(f.emit(I64, f"udiv {length.typed}, {lanes}"), I64.const(lanes))
            with f.loop(whole, length) as loop, self.emitter.binding(self.last, f.add(begin, loop.index)):
                body(f.offset(start, loop.index, self.type.scalar))
        with f.loop(I64.const(0), whole, lanes) as loop:
            mask = f.tail_mask(f.sub(length, loop.index), lanes) if masks else None
            with self.emitter.vector(self.last, f.add(begin, loop.index), lanes, mask):
                body(f.offset(start, loop.index, self.type.scalar))

    # -- packing --------------------------------------------------------------------------------------------------

    def _pack_masked(self, f: Function, begin: Value, length: Value, start: Value, step: Value, steps: Value) -> None:
        """One tap of a run, where loads and stores take masks."""
        inside = self._bits_inside(f, begin, length) if self.pieces.inside else None

        def copy(place: Value) -> None:
            lanes = self.emitter.lanes
            assert lanes
            assert lanes.mask
            on = lanes.mask
            if inside is not None:
                narrow = f.convert("trunc", f.shift_right(inside, f.sub(lanes.base, begin)), Type(f"i{self.lanes}"))
                on = f.bit_and(on, f.bitcast(narrow, on.type))
            self._copy(f, place, step, steps, on, lanes.mask)

        with self._leading_at_zero(self.pieces.run):
            self._vectors(f, begin, length, start, copy)

    def _bits_inside(self, f: Function, begin: Value, length: Value) -> Value:
        """One bit for each place of a run: whether this tap of its window meets an element."""
        p = self.pieces
        if not p.inside:
            return f.sub(f.shift_left(I64.const(1), length), I64.const(1))
        bits = f.alloca(I64, 1)
        f.store(I64.const(0), bits)
        with f.apart():
            size = self.emitter.index(self.last.size)
            with self._rows(f, p.columns[p.run : -1], size, begin, length) as (row, first, count):
                low, high = self._range_inside(f, first, count)
                ones = f.sub(f.shift_left(I64.const(1), f.sub(high, low)), I64.const(1))
                lane = f.sub(f.add(f.mul(row, size), low), begin)
                f.store(f.bit_or(f.load(bits, I64), f.shift_left(ones, lane)), bits)
        return f.load(bits, I64)

    def _range_inside(self, f: Function, first: Value, count: Value) -> tuple[Value, Value]:
        """From where to where the places of a row, `count` of them from `first` on, have an element for this tap."""
        low, end = first, f.add(first, count)
        high = end
        for condition in self.pieces.inside:
            bound = bound_of(condition, self.last)
            assert bound is not None
            factor, rest = bound
            if factor == 0:
                holds = f.compare("sgt", self.emitter.index(rest), I64.const(0))
                high = f.select(holds, high, first)
            elif factor < 0:  # place * -factor < rest
                high = least(f, high, self.emitter.index(ceildiv(rest, -factor)))
            else:
                low = f.intrinsic("smax", I64, low, self.emitter.index(floordiv(-rest, factor) + 1))
        low = least(f, low, end)
        return low, f.intrinsic("smax", I64, low, high)

    def _pack_ranges(self, f: Function, begin: Value, length: Value, start: Value, step: Value, steps: Value) -> None:
        """One tap of a row without masks: zeros, elements, zeros."""
        end = f.add(begin, length)
        low, high = self._range_inside(f, begin, length) if self.pieces.inside else (begin, end)

        def clear(place: Value) -> None:
            lanes = self.emitter.lanes
            with f.loop(I64.const(0), steps, carried=[place]) as loop:
                f.store(self.type.with_lanes(lanes.count if lanes else 0).const(0), loop.carried[0])
                loop.next = [self._next_row(f, loop.carried[0])]

        for first, last, body in ((begin, low, clear), (low, high, lambda place: self._copy(f, place, step, steps, None, None)), (high, end, clear)):
            with f.apart():
                self._vectors(f, first, f.sub(last, first), f.offset(start, f.sub(first, begin), self.type.scalar), body)

    def _next_row(self, f: Function, place: Value) -> Value:
        return f.offset(place, I64.const(self.pieces.depth * self.width), self.type.scalar)

    def _copy(self, f: Function, place: Value, step: Value, steps: Value, on: Value | None, mask: Value | None) -> None:
        """The open lanes of one tap, step by step: two pointers that move on."""
        emitter, x = self.emitter, self.pieces.element
        with emitter.binding(self.pieces.step, step):
            source, stride = emitter.place(x, self.pieces.step)
        with f.loop(I64.const(0), steps, carried=[source, place]) as loop:
            f.store(emitter.load_from(x, loop.carried[0], on), loop.carried[1], mask)
            loop.next = [f.offset(loop.carried[0], stride, self.type.scalar), self._next_row(f, loop.carried[1])]
