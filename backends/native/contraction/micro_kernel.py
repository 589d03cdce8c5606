"""The register-tiled micro-kernel: C[rows, columns] = A[rows, k] * B[k, columns] with every sum in a register.

One broadcast of A and one row of B feed `rows` x `vectors` multiply-adds (the outer-product kernel of Goto & van de Geijn, "Anatomy of
High-Performance Matrix Multiplication", 2008, and BLIS, Van Zee & van de Geijn 2015). Both operands come with strides, so the same
code reads packed panels and matrices where they lie, transposed or not.
"""

from __future__ import annotations

from graphdl.record import record

from ..llvm import I32, I64, PTR, Function, Module, Type, Value
from .schedule import AHEAD
from .tile import Tile

ROWS_PER_POINTER = 3  # x86 addresses reach base, base + stride and base + 2 * stride
LINE = 64  # bytes

PARAMETERS = (
    ("a", PTR), ("a_row", I64), ("a_k", I64), ("b", PTR), ("b_k", I64), ("k", I64), ("c", PTR), ("c_row", I64), ("columns", I64),
)  # fmt: skip
TABLE = ("b_table", PTR)  # instead of a stride, for a B that is read through a table of offsets
AHEAD_OF_EPILOGUE = (("ahead", PTR), ("last", I64))  # rows to fetch, one a step; the last one again when all are

WINDOW = (
    ("a", PTR), ("a_row", I64), ("a_k", I64), ("b", PTR), ("b_step", I64), ("steps", I64), ("offsets", PTR), ("masks", PTR), ("taps", I64),
    ("c", PTR), ("c_row", I64),
)  # fmt: skip


@record(slots=True)
class Kind:
    """What distinguishes micro-kernels of one tile. `masked` ones read only `columns` lanes of B. Those that `streams` fetch B ahead: panels come from
    distant caches, and the hardware's own prefetch stops at every page. `indexed` ones read B through a table; `fetches`: for an epilogue.
    """

    masked: bool = False
    streams: bool = False
    indexed: bool = False
    fetches: bool = False

    @property
    def letters(self) -> str:
        """As part of a name."""
        return "".join(letter for letter, holds in zip("msif", (self.masked, self.streams, self.indexed, self.fetches), strict=True) if holds)

    @property
    def parameters(self) -> tuple[tuple[str, Type], ...]:
        """What such a micro-kernel takes."""
        taken = tuple(TABLE if self.indexed and one[0] == "b_k" else one for one in PARAMETERS)
        return (*taken, *AHEAD_OF_EPILOGUE) if self.fetches else taken


def micro_kernel(module: Module, scalar: Type, lanes: int, tile: Tile, kind: Kind) -> str:
    """The name of the micro-kernel for `tile`, written into `module` on first use. All of the tile is written."""
    name = f"contract_{scalar.suffix}_{tile.rows}x{tile.vectors}x{lanes}{kind.letters}"
    if name not in module.functions:
        f = module.function(name, kind.parameters, linkage="internal", attributes="noinline")
        (_IndexedWriter if kind.indexed else MicroKernelWriter)(f, scalar.with_lanes(lanes), tile, kind).write()
    return name


class MicroKernelWriter:
    """Writes one micro-kernel."""

    def __init__(self, f: Function, vector: Type, tile: Tile, kind: Kind) -> None:
        self.f, self.vector, self.tile, self.kind = f, vector, tile, kind
        self.a, self.a_row, self.a_k, self.b, self.b_k, self.k, self.c, self.c_row, self.columns = f.parameters[: len(PARAMETERS)]
        self.masks = [self._mask(v) if kind.masked else None for v in range(tile.vectors)]

    def _mask(self, v: int) -> Value:
        """The valid lanes of vector `v`, compared as i32: with i64 the comparison itself would take two registers."""
        f, lanes = self.f, I32.with_lanes(self.vector.lanes)
        columns = f.splat(f.convert("trunc", self.columns, I32), lanes.lanes)
        return f.compare("sgt", columns, f.add(f.lanes_index(lanes), lanes.const(v * lanes.lanes)))

    def write(self) -> None:
        f, pointers, zero = self.f, self._pointers(), self._zero()
        with f.loop(I64.const(0), self.k, carried=[self._start(), *pointers, *zero]) as loop:
            b, rows, sums = loop.carried[0], loop.carried[1 : 1 + len(pointers)], loop.carried[1 + len(pointers) :]
            if self.kind.streams:
                self._fetch(self._row(b, AHEAD))
            if self.kind.fetches:
                self._fetch_for_epilogue(loop.index)
            loop.next = [self._following(b), *(self._element(p, self.a_k) for p in rows), *self._step(self._row(b, 0), rows, sums)]
        self._store(loop.carried[1 + len(pointers) :])
        f.ret()

    def _pointers(self) -> list[Value]:
        """One pointer for every few rows of A."""
        f, rows = self.f, self.tile.rows
        self.within = [f.mul(self.a_row, I64.const(row)) if row else I64.const(0) for row in range(min(ROWS_PER_POINTER, rows))]
        return [self._element(self.a, f.mul(self.a_row, I64.const(row))) for row in range(0, rows, ROWS_PER_POINTER)]

    def _apart(self, pointers: list[Value]) -> list[Value]:
        """Pointers of which LLVM does not know how far they are apart: else it makes one of them, and a chain of as many additions as rows."""
        return [self.f.emit(PTR, f"freeze {pointer.typed}") for pointer in pointers]

    def _zero(self) -> list[Value]:
        return [self.vector.const(0.0)] * (self.tile.rows * self.tile.vectors)

    def _start(self) -> Value:
        """What goes along B from row to row."""
        self.ahead = self.f.mul(self.b_k, I64.const(AHEAD))
        return self.b

    def _following(self, b: Value) -> Value:
        return self._element(b, self.b_k)

    def _row(self, b: Value, steps: int) -> Value:
        """The row of B that many steps on: this one, or the one to fetch."""
        return self._element(b, self.ahead) if steps else b

    def _element(self, pointer: Value, index: Value) -> Value:
        return self.f.offset(pointer, index, self.vector.scalar)

    def _step(self, b: Value, rows: list[Value], sums: list[Value]) -> list[Value]:
        """One k: a row of B in registers, then each element of A broadcast against it."""
        f, tile = self.f, self.tile
        right = [f.load(self._vector(b, v), self.vector, self.masks[v]) for v in range(tile.vectors)]
        following: list[Value] = []
        rows = self._apart(rows) if tile.vectors == 1 else rows  # with more, sums leave too few registers for what is loaded early then
        for row in range(tile.rows):
            left = f.splat(f.load(self._address(rows, row), self.vector.with_lanes(0)), self.vector.lanes)
            following += [f.fma(left, right[v], sums[row * tile.vectors + v]) for v in range(tile.vectors)]
        return following

    def _address(self, rows: list[Value], row: int) -> Value:
        """Where the element of a row of A is, by the pointer of its few rows."""
        return self._element(rows[row // ROWS_PER_POINTER], self.within[row % ROWS_PER_POINTER])

    def _fetch(self, row: Value) -> None:
        for v in range(self.tile.vectors):
            self._fetch_line(self._vector(row, v))

    def _fetch_for_epilogue(self, step: Value) -> None:
        """A row of the tile in one of the arrays that the epilogue will read."""
        f = self.f
        table, last = f.parameters[len(PARAMETERS) :]
        row = f.load(f.offset(table, f.intrinsic("smin", I64, step, last), "ptr"), PTR)
        for place in range(0, self.tile.vectors * self.vector.lanes * self.vector.bits // 8, LINE):
            self._fetch_line(f.offset(row, I64.const(place), "i8"))

    def _fetch_line(self, address: Value) -> None:
        self.f.intrinsic_void("prefetch", address, I32.const(0), I32.const(3), I32.const(1), overload=[PTR])

    def _vector(self, pointer: Value, v: int) -> Value:
        return self._element(pointer, I64.const(v * self.vector.lanes))

    def _store(self, sums: list[Value]) -> None:
        f, tile = self.f, self.tile
        start = self.c
        for row in range(tile.rows):
            start = self._element(start, self.c_row) if row else start
            for v in range(tile.vectors):
                f.store(sums[row * tile.vectors + v], self._vector(start, v))


class _IndexedWriter(MicroKernelWriter):
    """The same with rows of B at tabulated offsets: what goes along is the table."""

    def _start(self) -> Value:
        return self.b_k

    def _following(self, b: Value) -> Value:
        return self.f.offset(b, I64.const(1), "i64")

    def _row(self, b: Value, steps: int) -> Value:
        return self._element(self.b, self.f.load(self.f.offset(b, I64.const(steps), "i64"), I64))


def window_kernel(module: Module, scalar: Type, lanes: int, tile: Tile) -> str:
    """The name of the micro-kernel whose k runs over steps and, below each, the taps of a window, written into `module` on first use.

    The row of B for a tap lies `offsets[tap]` (i64) elements from that of the step, `b_step` apart. Only the lanes on in
    `masks[tap]` (i64, a bit for each column) are read, and the others are zero: the padding around an image.
    """
    name = f"contract_{scalar.suffix}_{tile.rows}x{tile.vectors}x{lanes}w"
    if name not in module.functions:
        f = module.function(name, WINDOW, linkage="internal", attributes="noinline")
        _WindowWriter(f, scalar.with_lanes(lanes), tile).write()
    return name


class _WindowWriter(MicroKernelWriter):
    """Writes one micro-kernel for windows."""

    def __init__(self, f: Function, vector: Type, tile: Tile) -> None:
        self.f, self.vector, self.tile = f, vector, tile
        self.a, self.a_row, self.a_k, self.b, self.b_step, self.steps, self.offsets, self.bits, self.taps, self.c, self.c_row = f.parameters

    def write(self) -> None:
        f = self.f
        pointers, zero = self._apart(self._pointers()), self._zero()
        depth, begun = f.mul(self.steps, self.taps), len(pointers) + 2
        with f.loop(I64.const(0), depth, carried=[self.b, I64.const(0), *pointers, *zero]) as loop:  # one loop: in two, addresses would be spilled
            b, tap, rows, sums = loop.carried[0], loop.carried[1], loop.carried[2:begun], loop.carried[begun:]
            start = self._element(b, f.load(f.offset(self.offsets, tap, "i64"), I64))
            self._fetch_following(start, tap)
            self.masks = self._lanes_on(tap)
            following = [*(self._element(p, self.a_k) for p in rows), *self._step(start, rows, sums)]
            after = f.add(tap, I64.const(1))
            ends = f.compare("eq", after, self.taps)
            loop.next = [f.select(ends, self._element(b, self.b_step), b), f.select(ends, I64.const(0), after), *following]
        self._store(loop.carried[begun:])
        f.ret()

    def _fetch_following(self, start: Value, tap: Value) -> None:
        """Fetch what the panel to the right reads: of its lines, neighbouring taps fetch different ones."""
        f, lanes = self.f, I64.const(self.vector.lanes)
        line = f.mul(f.bit_and(tap, I64.const(1)), lanes)
        ahead = self._element(self._element(start, line), I64.const(self.tile.vectors * self.vector.lanes))
        self._fetch_line(ahead)

    def _lanes_on(self, tap: Value) -> list[Value | None]:
        """The masks of all vectors, by one load."""
        f, lanes, count = self.f, self.vector.lanes, self.tile.vectors * self.vector.lanes
        bits = f.convert("trunc", f.load(f.offset(self.bits, tap, "i64"), I64), Type(f"i{count}"))
        on = f.bitcast(bits, Type("i1", count))
        return [f.shuffle(on, on, range(v * lanes, (v + 1) * lanes)) for v in range(self.tile.vectors)]
