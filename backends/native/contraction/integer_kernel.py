"""The micro-kernel for words of bytes: C[rows, columns] = (A - zero[row]) * B, exact in int32.

Beside the tile stand the sums of B's columns, from which comes what the zero points take off: sum (a - z) b = sum a b - z sum b
(Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference", section 2.3).
Sums of integers may be taken in any order, so a low tile takes several words at a time to keep enough of them in flight.
"""

from __future__ import annotations

from ..llvm import I32, I64, PTR, Function, Module, Type, Value
from .integers import BYTES, ONES, STEPS, Dot, Integers
from .micro_kernel import PARAMETERS, Kind, MicroKernelWriter
from .tile import Tile

ZEROS = ("zeros", PTR)  # what is taken off every row of A, int32
IN_FLIGHT = 10  # sums that hide the latency of the instruction


def integer_kernel(module: Module, dot: Dot, integers: Integers, lanes: int, tile: Tile) -> str:
    """The name of the micro-kernel for `tile`, written into `module` on first use."""
    signs = "".join("us"[signed] for signed in (dot.left_signed(integers), integers.right_signed))
    name = f"contract_i8{signs}_{tile.rows}x{tile.vectors}x{lanes}{'z' if dot.corrects(integers) else ''}"
    if name not in module.functions:
        f = module.function(name, (*PARAMETERS, ZEROS), linkage="internal", attributes="noinline")
        _IntegerWriter(f, I32.with_lanes(lanes), tile, dot, integers).write()
    return name


class _IntegerWriter(MicroKernelWriter):
    """Writes one micro-kernel."""

    def __init__(self, f: Function, vector: Type, tile: Tile, dot: Dot, integers: Integers) -> None:
        super().__init__(f, vector, tile, Kind())
        self.dot, self.corrects = dot, dot.corrects(integers)
        self.signs = dot.left_signed(integers), integers.right_signed
        self.zeros = f.parameters[len(PARAMETERS)]
        self.sums = (tile.rows + self.corrects) * tile.vectors
        self.words = self._words()

    def _words(self) -> int:
        """How many words one round takes."""
        most = STEPS // BYTES if self.dot.is_one else 1
        return next((count for count in (1, 2) if count * self.sums >= IN_FLIGHT or count == most), most)

    def write(self) -> None:
        f, pointers = self.f, self._pointers()
        zero = [self.vector.const(0)] * (self.sums * self.words)
        first = 1 + len(pointers)
        with f.loop(I64.const(0), self.k, self.words, carried=[self._start(), *pointers, *zero]) as loop:
            b, rows, sums = loop.carried[0], loop.carried[1:first], loop.carried[first:]
            following: list[Value] = []
            for word in range(self.words):
                following += self._step(b, rows, sums[word * self.sums : (word + 1) * self.sums])
                b, rows = self._following(b), [self._element(row, self.a_k) for row in rows]
            loop.next = [b, *rows, *following]
        self._store(self._corrected(self._added(loop.carried[first:])))
        f.ret()

    def _step(self, b: Value, rows: list[Value], sums: list[Value]) -> list[Value]:
        """One word of k: a row of B in registers, then each word of A broadcast against it."""
        f, tile = self.f, self.tile
        right = [f.load(self._vector(b, v), self.vector) for v in range(tile.vectors)]
        left = [f.splat(f.load(self._address(rows, row), I32), self.vector.lanes) for row in range(tile.rows)]
        left += [self.vector.const(ONES)] * self.corrects
        pairs = [(x, y) for x in left for y in right]
        return [self.dot.add(f, total, x, y, *self.signs) for total, (x, y) in zip(sums, pairs, strict=True)]

    def _added(self, sums: list[Value]) -> list[Value]:
        """The sums of all words of a round."""
        total = sums[: self.sums]
        for start in range(self.sums, len(sums), self.sums):
            total = [self.f.add(x, y) for x, y in zip(total, sums[start : start + self.sums], strict=True)]
        return total

    def _corrected(self, sums: list[Value]) -> list[Value]:
        """The sums less what the zero points of the rows have added."""
        if not self.corrects:
            return sums
        f, tile = self.f, self.tile
        columns = sums[tile.rows * tile.vectors :]
        found: list[Value] = []
        for row in range(tile.rows):
            zero = f.splat(f.load(f.offset(self.zeros, I64.const(row), "i32"), I32), self.vector.lanes)
            own = sums[row * tile.vectors : (row + 1) * tile.vectors]
            found += [f.sub(total, f.mul(zero, column)) for total, column in zip(own, columns, strict=True)]
        return found
