"""Sums of products of rows that are both contiguous along k, for few rows of A: no transposition and no packing.

Each of the rows x columns results is a vector of partial sums, added up across its lanes at the end, so all loads are of whole vectors.
"""

from __future__ import annotations

from ..llvm import I64, PTR, Function, Module, Type, Value
from .kernel import least
from .tile import Tile

PARAMETERS = (
    ("a", PTR), ("a_row", I64), ("b", PTR), ("b_row", I64), ("k", I64), ("c", PTR), ("c_row", I64), ("rows", I64), ("columns", I64),
)  # fmt: skip
SIGNATURE = ", ".join(type.text for _, type in PARAMETERS)


def dot_kernel(module: Module, scalar: Type, lanes: int, tile: Tile, *, masked: bool) -> str:
    """The name of the kernel for a tile of `tile.rows` x `tile.vectors` dot products, written into `module` on first use.

    It always writes the whole tile to c; only the first `rows` x `columns` mean something, and only their operands are read.
    """
    name = f"dots_{scalar.suffix}_{tile.rows}x{tile.vectors}x{lanes}"
    if name not in module.functions:
        f = module.function(name, PARAMETERS, linkage="internal", attributes="noinline")
        _Writer(f, scalar.with_lanes(lanes), tile, masked).write()
    return name


class _Writer:
    """Writes one kernel."""

    def __init__(self, f: Function, vector: Type, tile: Tile, masked: bool) -> None:
        self.f, self.vector, self.tile, self.masked = f, vector, tile, masked
        a, a_row, b, b_row, self.k, self.c, self.c_row, rows, columns = f.parameters
        self.lefts = self._rows(a, a_row, rows, tile.rows)
        self.rights = self._rows(b, b_row, columns, tile.vectors)

    def _rows(self, pointer: Value, stride: Value, valid: Value, count: int) -> list[Value]:
        """Row addresses; those past the end repeat the last row."""
        f = self.f
        last = f.sub(valid, I64.const(1))
        return [self._element(pointer, f.mul(least(f, I64.const(i), last), stride)) for i in range(count)]

    def _element(self, pointer: Value, index: Value) -> Value:
        return self.f.offset(pointer, index, self.vector.scalar)

    def write(self) -> None:
        f, lanes = self.f, self.vector.lanes
        whole = f.mul(f.emit(I64, f"udiv {self.k.typed}, {lanes}"), I64.const(lanes))
        zero = [self.vector.const(0.0)] * (self.tile.rows * self.tile.vectors)
        with f.loop(I64.const(0), whole, lanes, carried=zero) as loop:
            loop.next = self._step(loop.index, loop.carried, None)
        sums = loop.carried
        if self.masked:
            sums = self._step(whole, sums, f.tail_mask(f.sub(self.k, whole), lanes))
        self._store(sums)
        if not self.masked:
            self._add_tail(whole)
        f.ret()

    def _step(self, k: Value, sums: list[Value], mask: Value | None) -> list[Value]:
        f = self.f
        rights = [f.load(self._element(p, k), self.vector, mask) for p in self.rights]
        lefts = [f.load(self._element(p, k), self.vector, mask) for p in self.lefts]
        pairs = [(left, right) for left in lefts for right in rights]
        return [f.fma(left, right, total) for (left, right), total in zip(pairs, sums, strict=True)]

    def _store(self, sums: list[Value]) -> None:
        f, columns = self.f, self.tile.vectors
        chunk = min(columns, self.vector.lanes)
        for row in range(self.tile.rows):
            start = self._element(self.c, f.mul(self.c_row, I64.const(row)))
            for column in range(0, columns, chunk):
                at = row * columns + column
                f.store(add_across(f, sums[at : at + chunk]), self._element(start, I64.const(column)))

    def _add_tail(self, whole: Value) -> None:
        """The elements past the last whole vector, one by one."""
        f, scalar = self.f, self.vector.with_lanes(0)
        for row, left in enumerate(self.lefts):
            start = self._element(self.c, f.mul(self.c_row, I64.const(row)))
            for column, right in enumerate(self.rights):
                address = self._element(start, I64.const(column))
                with f.loop(whole, self.k, carried=[f.load(address, scalar)]) as loop:
                    x, y = (f.load(self._element(p, loop.index), scalar) for p in (left, right))
                    loop.next = [f.fma(x, y, loop.carried[0])]
                f.store(loop.carried[0], address)


def add_across(f: Function, vectors: list[Value]) -> Value:
    """The sum over the lanes of each of `vectors` (a power of two of them, at most as many as lanes), as one vector.

    Halves are added while two vectors merge into one, so the tree costs about one addition per vector.
    """
    width = vectors[0].type.lanes
    while width > 1:
        width //= 2
        vectors = [_fold(f, vectors[i : i + 2], width) for i in range(0, len(vectors), 2)]
    return vectors[0]


def _fold(f: Function, pair: list[Value], width: int) -> Value:
    """Add the upper to the lower half of every group of 2 * `width` lanes; the groups of both vectors of `pair` stand side by side."""
    total = len(pair) * pair[0].type.lanes
    low = [start + i for start in range(0, total, 2 * width) for i in range(width)]
    return f.add(f.shuffle(pair[0], pair[-1], low), f.shuffle(pair[0], pair[-1], [i + width for i in low]))
