"""The sides of a product of 8-bit integers: recognised in its expression, and read as words of four neighbours along k."""

from __future__ import annotations

from graphdl.kernel.expression import Axis, Expr, Guard, Scalar, const, guard, is_const
from graphdl.record import record

from ..contraction.integers import BYTES, joined
from ..contraction.interface import Axis as Side
from ..llvm import I32, I64, Function, Value
from .emitter import Emitter

NARROW = ("int8", "uint8")


@record
class Bytes:
    """Numbers of 8 bits, less a zero point if there is one."""

    numbers: Expr
    zero: Expr | None = None


def bytes_of(x: Expr) -> Bytes | None:
    """What `x`, of int32, is computed from if that is 8-bit integers: widened, zero outside a guard, or less a zero point."""
    if isinstance(x, Guard):
        inside = bytes_of(x.body)
        plain = inside is not None and inside.zero is None and is_const(x.otherwise, 0.0)
        return Bytes(guard(x.predicate, inside.numbers, const(0, inside.numbers.dtype))) if plain and inside is not None else None
    if not isinstance(x, Scalar):
        return None
    if x.function == "cast":
        return Bytes(x.operands[0]) if x.operands[0].dtype in NARROW else None
    if x.function != "subtract":
        return None
    minuend = bytes_of(x.operands[0])
    return Bytes(minuend.numbers, x.operands[1]) if minuend is not None and minuend.zero is None else None


class ByteReader:
    """Words of one side, read through the kernel's own expression."""

    direct = None
    indexed = None

    def __init__(self, emitter: Emitter, x: Expr, batch: Axis, free: Axis, k: Axis) -> None:
        self.emitter, self.x = emitter, x
        self.batch, self.free, self.k = batch, free, k

    def vector(self, f: Function, batch: Value, free: Value, k: Value, lanes: int, axis: Side, mask: Value | None) -> Value:
        """Words from (free, word k) on; bytes past the end of k are never read."""
        first = f.mul(k, I64.const(BYTES))
        with f.apart(), self.emitter.binding(self.batch, batch):
            return self._along(f, free, first, lanes) if axis == "k" and lanes else self._across(f, free, first, lanes, mask)

    def _along(self, f: Function, free: Value, first: Value, lanes: int) -> Value:
        count = lanes * BYTES
        size = self.emitter.index(self.k.size)
        mask = f.tail_mask(f.sub(size, first), count) if self.emitter.target.has_masks else None
        with self.emitter.binding(self.free, free), self.emitter.vector(self.k, first, count, mask):
            found = f.splat(self.emitter.value(self.x), count)
        return f.bitcast(found, I32.with_lanes(lanes))

    def _across(self, f: Function, free: Value, first: Value, lanes: int, mask: Value | None) -> Value:
        size = self.emitter.index(self.k.size)
        parts = []
        for place in range(BYTES):
            k = f.add(first, I64.const(place))
            inside = f.compare("slt", k, size)
            at = f.select(inside, k, f.sub(size, I64.const(1)))
            with f.apart(), self.emitter.binding(self.k, at), self.emitter.vector(self.free, free, lanes, mask):
                found = self.emitter.value(self.x)
                parts.append(f.select(inside, f.splat(found, lanes) if lanes else found, found.type.with_lanes(lanes).const(0)))
        return joined(f, parts)
