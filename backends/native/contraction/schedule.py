"""How a contraction is cut, as formulas of its sizes.

Every formula uses only `+`, `-`, `*` and `//`, so one text serves Python ints (the plan), symbolic sizes (the memory planner) and
`Emitted` values (the generated code). A condition is therefore a number, 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from ..llvm import I64, Function, Type, Value
from ..target import Target
from .interface import Traits
from .tile import Tile, TileTable, table_for


class Quantity(Protocol):
    """A size: an int, a symbolic polynomial with floor division, or code that computes one."""

    def __add__(self, other: Any, /) -> Self: ...
    def __radd__(self, other: Any, /) -> Self: ...
    def __sub__(self, other: Any, /) -> Self: ...
    def __rsub__(self, other: Any, /) -> Self: ...
    def __mul__(self, other: Any, /) -> Self: ...
    def __rmul__(self, other: Any, /) -> Self: ...
    def __floordiv__(self, other: Any, /) -> Self: ...
    def __rfloordiv__(self, other: Any, /) -> Self: ...


Q = TypeVar("Q", bound=Quantity)


@dataclass(frozen=True, slots=True)
class Emitted:
    """A non-negative i64 under computation in a function; arithmetic on it writes instructions, on constants it folds."""

    f: Function
    value: Value

    def _with(self, other: Emitted | int, instruction: str, *, swapped: bool = False) -> Emitted:
        right = other.value if isinstance(other, Emitted) else I64.const(other)
        x, y = (right, self.value) if swapped else (self.value, right)
        if not (x.text + y.text).replace("-", "").isdigit():
            return Emitted(self.f, self.f.emit(I64, f"{instruction} {x.typed}, {y.text}"))
        a, b = int(x.text), int(y.text)
        folded = {"add": a + b, "sub": a - b, "mul": a * b}.get(instruction)
        return Emitted(self.f, I64.const(a // b if folded is None else folded))

    def __add__(self, other: Emitted | int) -> Emitted:
        return self._with(other, "add")

    def __radd__(self, other: int) -> Emitted:
        return self._with(other, "add", swapped=True)

    def __sub__(self, other: Emitted | int) -> Emitted:
        return self._with(other, "sub")

    def __rsub__(self, other: int) -> Emitted:
        return self._with(other, "sub", swapped=True)

    def __mul__(self, other: Emitted | int) -> Emitted:
        return self._with(other, "mul")

    def __rmul__(self, other: int) -> Emitted:
        return self._with(other, "mul", swapped=True)

    def __floordiv__(self, other: Emitted | int) -> Emitted:
        return self._with(other, "udiv")

    def __rfloordiv__(self, other: int) -> Emitted:
        return self._with(other, "udiv", swapped=True)


@dataclass(frozen=True, slots=True)
class Shape(Generic[Q]):
    """The sizes of out[batch, m, n] = sum over k."""

    batch: Q
    m: Q
    n: Q
    k: Q


def at_most(x: Q, limit: int) -> Q:
    """1 where x <= limit, else 0."""
    return 1 // (1 + x // (limit + 1))


def choose(condition: Q, then: int, otherwise: int) -> Q:
    return otherwise + condition * (then - otherwise)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The cutting of one contraction for a target, element type and the traits of both operands.

    Three ways of computing, chosen by the size of m: `dots` (both operands contiguous along k, few rows), `flat` tiles (few rows of A
    against B read in place) and full tiles. B is read in place where that costs less than packing it.
    """

    target: Target
    scalar: Type
    a: Traits
    b: Traits
    static: Shape[int] | None = None  # the sizes, where all are known: kernels that would never run are left out
    dot_rows: int = 12  # up to this m dots beat transposing B into panels
    unpacked_rows: int = 64  # up to this m reading B in place beats packing it

    @property
    def table(self) -> TileTable:
        return table_for(self.target)

    @property
    def lanes(self) -> int:
        return self.target.lanes(self.scalar)

    @property
    def has_dots(self) -> bool:
        return self.a.is_direct and self.b.is_direct and self.a.contiguous == "k" and self.b.contiguous == "k"

    @property
    def reads_b_in_place(self) -> bool:
        """Tails of a row of B in place need masked loads."""
        return self.b.is_direct and self.b.contiguous == "mn" and self.target.has_masks

    @property
    def packs_a(self) -> bool:
        return not self.a.is_direct

    @property
    def may_pack_b(self) -> bool:
        return self.static is None or self.packs_b(self.static) > 0

    @property
    def panel_columns(self) -> int:
        """The width of a packed panel of B."""
        return self.table.full.vectors * self.lanes

    @property
    def flat(self) -> tuple[Tile, ...]:
        return self.table.flat if self.reads_b_in_place else ()

    # -- conditions on the sizes ----------------------------------------------------------------------------------

    def uses_dots(self, s: Shape[Q]) -> Q:
        return at_most(s.m, self.dot_rows) if self.has_dots else 0 * s.m

    def packs_b(self, s: Shape[Q]) -> Q:
        if self.reads_b_in_place:
            return 1 - at_most(s.m, self.unpacked_rows)
        return 1 - self.uses_dots(s)

    # -- the grid of output tiles: tasks of the compute kernel ----------------------------------------------------

    def tile_rows(self, s: Shape[Q]) -> Q:
        """The greatest height of a tile."""
        if self.has_dots:
            return choose(self.uses_dots(s), self.table.dots[-1].rows, self.table.full.rows)
        return choose(0 * s.m, 0, self.table.full.rows)

    def task_columns(self, s: Shape[Q]) -> Q:
        """The width of a task: one panel, or one row of vectors of a flat tile."""
        width = choose(0 * s.m, 0, self.panel_columns)
        for tile in reversed(self.flat):
            width = width + at_most(s.m, tile.rows) * (tile.vectors * self.lanes - width)
        return width

    def tiles(self, s: Shape[Q]) -> Q:
        rows = self.tile_rows(s)
        return (s.m + rows - 1) // rows

    def panels(self, s: Shape[Q]) -> Q:
        columns = self.task_columns(s)
        return (s.n + columns - 1) // columns

    def compute_tasks(self, s: Shape[Q]) -> Q:
        return s.batch * self.tiles(s) * self.panels(s)

    # -- packing ----------------------------------------------------------------------------------------------------

    def packed_panels(self, s: Shape[Q]) -> Q:
        return (s.n + self.panel_columns - 1) // self.panel_columns

    def leading_dimension(self, extent: Q) -> Q:
        """A row length of packed A: an odd number of cache lines, so that rows do not meet in the same cache sets."""
        line = 64 * 8 // self.scalar.bits
        return ((extent + line - 1) // line // 2 * 2 + 1) * line

    def packed_a_extents(self, s: Shape[Q]) -> tuple[Q, Q]:
        """Packed A is rows x contiguous extent, along the axis that its source is contiguous along."""
        return (s.k, s.m) if self.a.contiguous == "mn" else (s.m, s.k)

    def pack_a_tasks(self, s: Shape[Q]) -> Q:
        rows, _ = self.packed_a_extents(s)
        return rows * (s.batch if self.a.batched else 1) if self.packs_a else 0 * s.m

    def packed_a_bytes(self, s: Shape[Q]) -> Q:
        _, extent = self.packed_a_extents(s)
        return self.pack_a_tasks(s) * self.leading_dimension(extent) * (self.scalar.bits // 8)

    def pack_b_tasks(self, s: Shape[Q]) -> Q:
        return self.packs_b(s) * self.packed_panels(s) * (s.batch if self.b.batched else 1)

    def packed_b_bytes(self, s: Shape[Q]) -> Q:
        return self.pack_b_tasks(s) * s.k * (self.panel_columns * self.scalar.bits // 8)


@dataclass(frozen=True, slots=True)
class Plan(Generic[Q]):
    """What the caller must provide and run for given sizes."""

    packed_a_bytes: Q
    packed_b_bytes: Q
    pack_a_tasks: Q
    pack_b_tasks: Q
    compute_tasks: Q


def plan(schedule: Schedule, shape: Shape[Q]) -> Plan[Q]:
    return Plan(
        schedule.packed_a_bytes(shape), schedule.packed_b_bytes(shape), schedule.pack_a_tasks(shape), schedule.pack_b_tasks(shape),
        schedule.compute_tasks(shape),
    )  # fmt: skip
