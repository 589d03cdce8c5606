"""What a caller hands to the contraction engine: two operands, an epilogue and the sizes, made anew for every kernel function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from graphdl.record import record

from ..llvm import Function, Value

Axis = Literal["k", "mn"]


@record(slots=True)
class Direct:
    """An array read or written where it lies: element (row, column) of `batch` is at
    `pointer + batch * batch_stride + row * row_stride + column * column_stride`, strides counted in elements (i64).

    For an operand the row is its free index (m or n) and the column is k. For an output the column stride must be one.
    """

    pointer: Value
    row_stride: Value
    column_stride: Value
    batch_stride: Value


@record(slots=True)
class Indexed:
    """An array read where it lies, at places that are no linear function of k: element (free, k) of `batch` is at
    `pointer + origin(batch) + free + offset(k)`, counted in elements (i64). The engine tabulates the offsets once.
    """

    pointer: Value
    origin: Callable[[Value], Value]
    offset: Callable[[Value], Value]


@record(slots=True)
class Traits:
    """What is known of an operand before any code is emitted; the schedule and all size formulas depend only on it."""

    contiguous: Axis | None  # the axis along which neighbours lie side by side in memory; None needs gathers
    is_direct: bool  # the engine may read it in place through `Operand.direct`
    batched: bool = True  # it depends on the batch index; otherwise it is packed once for all
    is_indexed: bool = False  # the engine may read it in place through `Operand.indexed`
    taps: int = 0  # if not 0, it lies in pieces: `Parts.pieces` packs a panel, so many rows for each step of k
    in_runs: bool = False  # neighbouring columns of those pieces are neighbours in memory, for as long as a run lasts
    is_one_run: bool = False  # which is for all columns


class Operand(Protocol):
    """One side of the product. `direct` and `indexed` are set exactly when its traits say so. Of bytes, elements are words, and k counts words."""

    @property
    def direct(self) -> Direct | None: ...

    @property
    def indexed(self) -> Indexed | None: ...

    def vector(self, f: Function, batch: Value, free: Value, k: Value, lanes: int, axis: Axis, mask: Value | None) -> Value:
        """The `lanes` elements along `axis` from (free, k) on, or one scalar if `lanes` is 0. Lanes off in `mask` must not be read."""
        ...


class Epilogue(Protocol):
    """What is done with finished sums. If `direct` is set they are stored there and `store` is never called.

    `arrays` counts what is read for each of them along rows; `places` tells where. It is fetched while the sums are computed.
    """

    @property
    def direct(self) -> Direct | None: ...

    @property
    def arrays(self) -> int: ...

    def places(self, f: Function, batch: Value, m: Value, n: Value) -> list[Value]:
        """The address of what belongs to (m, n) in each of the arrays."""
        ...

    def store(self, f: Function, batch: Value, m: Value, n: Value, value: Value, mask: Value | None) -> None:
        """Consume `value`: the lanes n, n + 1, ... of row m (a scalar for one element), only those on in `mask`."""
        ...


@record(slots=True)
class Window:
    """A panel of B that lies in one run in memory: where its first column is for the first tap of step 0, how far apart the steps are,
    and whether it is such a panel at all (i1; if it is not, the rest means nothing).
    """

    is_run: Value
    pointer: Value
    stride: Value


class Pieces(Protocol):
    """A right side that every task reads window by window or packs for itself, and the output that belongs to it."""

    def look(self, f: Function, batch: Value, column: Value, columns: Value, offsets: Value, masks: Value) -> Window:
        """Whether the panel of `columns` columns from `column` on is one run. If it is, the offset of every tap and its lanes are written."""
        ...

    def pack(self, f: Function, batch: Value, column: Value, columns: Value, step: Value, steps: Value, target: Value) -> None:
        """Write rows [step * taps, (step + steps) * taps) of B to the panel at `target`: `columns` columns of `batch` from `column` on."""
        ...

    def pack_left(self, f: Function, batch: Value, row: Value, steps: Value, target: Value) -> None:
        """Write one row of A, all of its k, if A is no matrix in memory."""
        ...

    def finish(self, f: Function, batch: Value, row: Value, rows: Value, column: Value, columns: Value, sums: Value, width: Value) -> None:
        """Consume the finished sums of a tile, whose rows stand `width` elements apart."""
        ...


@record(slots=True)
class Parts:
    """A contraction inside one kernel function: sizes (i64; constants where known), operands, epilogue and scratch."""

    batch: Value
    m: Value
    n: Value
    k: Value
    a: Operand
    b: Operand
    epilogue: Epilogue
    packed_a: Value | None  # scratch of `Schedule.packed_a_bytes`, needed if that is not always zero
    packed_b: Value | None
    pieces: Pieces | None = None  # set exactly when the traits of B have taps
    zero: Callable[[Function, Value, Value], Value] | None = None  # of bytes: what is taken off the numbers of row (batch, m) of A, int32
