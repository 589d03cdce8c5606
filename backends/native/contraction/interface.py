"""What a caller hands to the contraction engine: two operands, an epilogue and the sizes, made anew for every kernel function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from ..llvm import Function, Value

Axis = Literal["k", "mn"]


@dataclass(frozen=True, slots=True)
class Direct:
    """An array read or written where it lies: element (row, column) of `batch` is at
    `pointer + batch * batch_stride + row * row_stride + column * column_stride`, strides counted in elements (i64).

    For an operand the row is its free index (m or n) and the column is k. For an output the column stride must be one.
    """

    pointer: Value
    row_stride: Value
    column_stride: Value
    batch_stride: Value


@dataclass(frozen=True, slots=True)
class Indexed:
    """An array read where it lies, at places that are no linear function of k: element (free, k) of `batch` is at
    `pointer + origin(batch) + free + offset(k)`, counted in elements (i64). The engine tabulates the offsets once.
    """

    pointer: Value
    origin: Callable[[Value], Value]
    offset: Callable[[Value], Value]


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of an operand before any code is emitted; the schedule and all size formulas depend only on it."""

    contiguous: Axis | None  # the axis along which neighbours lie side by side in memory; None needs gathers
    is_direct: bool  # the engine may read it in place through `Operand.direct`
    batched: bool = True  # it depends on the batch index; otherwise it is packed once for all
    is_indexed: bool = False  # the engine may read it in place through `Operand.indexed`


class Operand(Protocol):
    """One side of the product. `direct` and `indexed` are set exactly when its traits say so."""

    @property
    def direct(self) -> Direct | None: ...

    @property
    def indexed(self) -> Indexed | None: ...

    def vector(self, f: Function, batch: Value, free: Value, k: Value, lanes: int, axis: Axis, mask: Value | None) -> Value:
        """The `lanes` elements along `axis` from (free, k) on, or one scalar if `lanes` is 0. Lanes off in `mask` must not be read."""
        ...


class Epilogue(Protocol):
    """What is done with finished sums. If `direct` is set they are stored there and `store` is never called."""

    @property
    def direct(self) -> Direct | None: ...

    def store(self, f: Function, batch: Value, m: Value, n: Value, value: Value, mask: Value | None) -> None:
        """Consume `value`: the lanes n, n + 1, ... of row m (a scalar for one element), only those on in `mask`."""
        ...


@dataclass(frozen=True, slots=True)
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
