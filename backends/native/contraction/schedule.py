"""How a contraction is cut, as formulas of its sizes (see `quantity`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic

from graphdl.record import record

from ..llvm import Type
from ..target import Target
from .cut import MODEL, Cut
from .integers import HIGHEST, ONES, STEPS, Dot, Integers, dot_of, words
from .interface import Traits
from .quantity import Q, Shape, at_least_one, at_most, choose
from .tile import Tile, TileTable, table_for

SHORT_K = 128  # below, adding up the lanes of a dot product costs as much as the product, and writing the output more
SHORT_ROW = 768  # elements of a row of B; a longer one puts every k on a page of its own
PAGE = 4096  # bytes; addresses that far apart share a set of the first-level cache
MANY = 128  # rows and columns that repay a copy of A
AHEAD = 16  # steps of k between fetching a row of B into the first-level cache and using it
TABLE_BLOCK = 512  # offsets that one task writes
NARROW = 4  # columns of an output that is computed transposed
PANEL_ROWS = 576  # of a panel that a task packs for itself: it stays in the nearest caches while tiles are multiplied by it
FEW_PANELS = 16  # below, tiles of rows are cut into more groups, so that there are tasks enough for all threads
SMALL_GROUP = 4  # tiles of rows in a group where panels are few
MOST_REST = 4  # columns beyond whole vectors that dot products compute sooner than a vector of which they fill a part
BYTE_ROWS = 2304  # of a panel of bytes that a task packs for itself


@record(slots=True)
class Known:
    """The sizes that are known when code is emitted; of m and n else a number that divides them."""

    batch: int | None = None
    m: int | None = None
    n: int | None = None
    k: int | None = None
    m_step: int = 1
    n_step: int = 1

    @property
    def least_m(self) -> int:
        """The least m that there may be besides 0."""
        return self.m_step if self.m is None else self.m

    def transposed(self) -> Known:
        return Known(self.batch, self.n, self.m, self.k, self.n_step, self.m_step)


UNKNOWN = Known()


@record(slots=True)
class Schedule:
    """The cutting of one contraction for a target, element type and the traits of both operands.

    Three ways of computing, chosen by the size of m: `dots` (both operands contiguous along k, few rows), `flat` tiles (few rows of A
    against B read in place) and full tiles. B is read in place where that costs less than packing it.
    """

    target: Target
    scalar: Type
    a: Traits
    b: Traits
    known: Known = UNKNOWN  # what these sizes exclude is left out
    transposed: bool = False  # the operands have changed roles
    integers: Integers | None = None  # the operands are bytes, and `scalar` is the word that holds four of them along k
    cut: Cut = MODEL
    dot_rows: tuple[int, int] = (8, 24)  # up to this m dots beat transposing B into panels: for a short k, for a long one

    @staticmethod
    def choose(target: Target, scalar: Type, a: Traits, b: Traits, known: Known = UNKNOWN, integers: Integers | None = None) -> Schedule:
        """The schedule for operands of these traits. An output known to be narrow is computed transposed, so that its rows fill vectors."""
        n, m = known.n, known.m
        if integers is not None:
            # Vectors of words along k reach beyond its last bytes, which only masks leave unread.
            straight = b if b.contiguous != "k" or target.has_masks else replace(b, contiguous=None)
            return Schedule(target, scalar, a, straight, known, integers=integers)
        if n is None or n > NARROW or (m is not None and m <= n) or b.taps:
            return Schedule(target, scalar, a, b, known)
        left = replace(b, is_indexed=False)
        left = left if a.contiguous != "k" or b.contiguous == "k" else Traits(None, is_direct=False, batched=b.batched)
        return Schedule(target, scalar, left, a, known.transposed(), transposed=True)

    @property
    def table(self) -> TileTable:
        table = table_for(self.target)
        return table if self.integers is None else table.for_integers()

    @property
    def dot(self) -> Dot:
        """How the target sums products of words."""
        return dot_of(self.target)

    @property
    def flipped(self) -> int:
        """The bits that are changed in every word of A as it is packed."""
        return HIGHEST * ONES if self.integers is not None and self.dot.flips(self.integers) else 0

    @property
    def lanes(self) -> int:
        return self.target.lanes(self.scalar)

    @property
    def has_dots(self) -> bool:
        """Both operands will be contiguous along k: packing an expression makes it so."""
        left = self.a.contiguous == "k" if self.a.is_direct else self.a.contiguous != "mn"
        return left and self.b.is_direct and self.b.contiguous == "k"

    @property
    def reads_b_in_place(self) -> bool:
        return self.b.is_direct and self.b.contiguous == "mn"

    @property
    def indexes_b(self) -> bool:
        """Whether B is read in place through a table of offsets, one for every k."""
        return self.b.is_indexed and self.b.contiguous == "mn"

    @property
    def in_pieces(self) -> bool:
        """Whether every task packs its panel of B for itself."""
        return self.b.taps > 0

    @property
    def reads_windows(self) -> bool:
        """Whether panels of B that are one run in memory are read in place, under masks."""
        return self.in_pieces and self.b.in_runs and self.target.has_masks and self.integers is None

    @property
    def packs_pieces(self) -> bool:
        """Whether there may be panels that are not."""
        return self.in_pieces and not (self.reads_windows and self.b.is_one_run)

    @property
    def longest_steps(self) -> int:
        """The most steps of k, each of so many taps, in a panel that a task packs."""
        taps = max(self.b.taps, 1)
        return max(PANEL_ROWS // taps, 1) if self.integers is None else max(BYTE_ROWS // taps // STEPS, 1) * STEPS

    @property
    def may_pack_a(self) -> bool:
        """Whether known sizes leave a chance that A is packed."""
        m, n, k = self.known.m, self.known.n, self.known.k
        if self.a.is_direct and self.a.contiguous != "k":
            return False
        return m is None or n is None or k is None or self.packs_a(Shape(1, m, n, k)) > 0

    @property
    def may_pack_b(self) -> bool:
        """Whether known sizes leave a chance that B is packed."""
        m, n, k = self.known.m, self.known.n, self.known.k
        return self.rest > 0 or (not self.indexes_b and (m is None or n is None or k is None or self.packs_b(Shape(1, m, n, k)) > 0))

    @property
    def panel_columns(self) -> int:
        """The width of a packed panel of B."""
        return self.table.full.vectors * self.lanes

    @property
    def panel_vectors(self) -> tuple[int, ...]:
        """How many vectors a panel may fill, increasing: of the last one as well where rows and columns are known; else it would be much code."""
        widest = self.table.full.vectors
        if self.integers is not None or self.known.n is None or self.known.m is None:
            return (widest,)
        last = -(-((self.known.n - self.rest) % self.panel_columns) // self.lanes)
        return (last, widest) if 0 < last < widest else (widest,)

    @property
    def rest(self) -> int:
        """How many columns of pieces are left to dot products: a few beyond whole vectors, where panels are few as well."""
        n = self.known.n
        if (
            not self.in_pieces
            or self.integers is not None
            or n is None
            or (self.a.is_direct and self.a.contiguous != "k")
            or not self.lanes < n < FEW_PANELS * self.panel_columns
        ):
            return 0
        return n % self.lanes if n % self.lanes <= MOST_REST else 0

    @property
    def rest_tile(self) -> Tile:
        """The tile of those dot products: as many sums as a tile of whole vectors has."""
        full, columns = self.table.full, 1 << (self.rest - 1).bit_length()
        return Tile(min(full.rows, full.rows * full.vectors // columns), columns)

    @property
    def dot_columns(self) -> int:
        """The width of a task of dot products: that of a panel, made up to whole tiles, since those are written whole."""
        widest = max(tile.vectors for tile in self.table.dots)
        return -(-self.panel_columns // widest) * widest

    @property
    def flat(self) -> tuple[Tile, ...]:
        return tuple(tile for tile in self.table.flat if tile.rows >= self.known.least_m) if self.reads_b_in_place else ()

    @property
    def sums_per_tile(self) -> int:
        """Elements of the largest tile."""
        dots = [tile.rows * self.dot_columns for tile in self.table.dots]
        return max(dots + [tile.rows * tile.vectors * self.lanes for tile in (self.table.full, *self.table.flat)])

    @property
    def longest_block(self) -> int:
        """The longest block of k: with it, the rows of A of a usual group of tiles fill half of the second-level cache. Blocks decide in which
        order is added up, so it is the same for all cuts.
        """
        block = self.target.l2 // 2 * 8 // (MODEL.group_tiles * self.table.full.rows * self.scalar.bits)
        return max(block // 16 * 16, 16)

    # -- conditions on the sizes ----------------------------------------------------------------------------------

    def uses_dots(self, s: Shape[Q]) -> Q:
        """Few rows; or few columns, where they are not known to be: a panel would be mostly padding."""
        if not self.has_dots:
            return 0 * s.m
        few = self._has_few_rows(s, s.k, SHORT_K, self.dot_rows)
        return few if self.known.n is not None else few + (1 - few) * at_most(s.n, NARROW)

    def packs_a(self, s: Shape[Q]) -> Q:
        """An expression always; a matrix whose rows would meet in the same sets of the first-level cache where many panels read it."""
        if not self.a.is_direct:
            return choose(0 * s.m, 0, 1)
        if self.a.contiguous != "k":
            return 0 * s.m
        row = PAGE * 8 // self.scalar.bits
        collides = at_most(s.k - s.k // row * row, 0)
        return collides * (1 - at_most(s.m, MANY - 1)) * (1 - at_most(s.n, MANY - 1))

    def packs_b(self, s: Shape[Q]) -> Q:
        if self.in_pieces:
            return self.shares_pieces(s)
        if self.indexes_b:
            return 0 * s.m
        if self.reads_b_in_place:
            return 1 - self._has_few_rows(s, s.n, SHORT_ROW, self.cut.in_place_rows)
        return 1 - self.uses_dots(s)

    def shares_pieces(self, s: Shape[Q]) -> Q:
        """Whether panels of pieces are packed beforehand: several groups of tiles of rows would each pack them, and they are few."""
        if not self.packs_pieces or self.integers is not None:
            return 0 * s.m
        return at_most(s.batch * self.panels(s), FEW_PANELS - 1) * (1 - at_most(self.groups(s), 1))

    def _has_few_rows(self, s: Shape[Q], extent: Q, short: int, limits: tuple[int, int]) -> Q:
        """1 where m <= the first limit if `extent` <= `short`, where m <= the second otherwise."""
        if max(limits) < self.known.least_m:
            return 0 * s.m
        is_short = at_most(extent, short)
        return is_short * at_most(s.m, limits[0]) + (1 - is_short) * at_most(s.m, limits[1])

    def depth(self, s: Shape[Q]) -> Q:
        """The elements of k that the micro-kernel steps through: words, where there are four in one."""
        return s.k if self.integers is None else words(s.k)

    # -- the grid of output tiles: tasks of the compute kernel ----------------------------------------------------

    def tile_rows(self, s: Shape[Q]) -> Q:
        """The greatest height of a tile."""
        if self.has_dots:
            return choose(self.uses_dots(s), self.table.dots[-1].rows, self.table.full.rows)
        return choose(0 * s.m, 0, self.table.full.rows)

    def task_columns(self, s: Shape[Q]) -> Q:
        """The width of a task: one panel, one row of vectors of a flat tile, or whole tiles of dot products."""
        if self.has_dots and self.dot_columns != self.panel_columns:
            return choose(self.uses_dots(s), self.dot_columns, self.panel_columns)
        width = choose(0 * s.m, 0, self.panel_columns)
        for tile in reversed(self.flat):
            width = width + at_most(s.m, tile.rows) * (tile.vectors * self.lanes - width)
        return width

    def group(self, s: Shape[Q]) -> Q:
        """How many tiles of rows one pass over the panels of B serves. With a short k the output's rows are written through instead."""
        if not self.in_pieces:
            return choose(at_most(s.k, SHORT_K), 1, self.cut.group_tiles)
        most = choose(at_most(s.batch * self.panels(s), FEW_PANELS - 1), SMALL_GROUP, self.cut.group_tiles)
        count = at_least_one((self.tiles(s) + most - 1) // most)
        return at_least_one((self.tiles(s) + count - 1) // count)  # groups of one height, so that each is as much work

    def tiles(self, s: Shape[Q]) -> Q:
        rows = self.tile_rows(s)
        return (s.m + rows - 1) // rows

    def panels(self, s: Shape[Q]) -> Q:
        columns = self.task_columns(s)
        return (s.n - self.rest + columns - 1) // columns

    def groups(self, s: Shape[Q]) -> Q:
        group = self.group(s)
        return (self.tiles(s) + group - 1) // group

    def compute_tasks(self, s: Shape[Q]) -> Q:
        if self.in_pieces:
            return s.batch * self.groups(s) * self.panels(s)
        return s.batch * self.tiles(s) * self.panels(s)

    def k_blocks(self, s: Shape[Q]) -> tuple[Q, Q]:
        """How many blocks k is cut into (one if k is 0), and the length of all but the last; whole vectors for dot products."""
        depth = self.depth(s)
        blocks = at_least_one((depth + self.longest_block - 1) // self.longest_block)
        return blocks, ((depth + blocks - 1) // blocks + 15) // 16 * 16

    def step_blocks(self, s: Shape[Q]) -> tuple[Q, Q]:
        """The same for a B in pieces, counted in steps, each of all taps."""
        steps = s.k // self.b.taps
        blocks = at_least_one((steps + self.longest_steps - 1) // self.longest_steps)
        block = (steps + blocks - 1) // blocks
        return blocks, block if self.integers is None else (block + STEPS - 1) // STEPS * STEPS

    # -- packing ----------------------------------------------------------------------------------------------------

    def packed_panels(self, s: Shape[Q]) -> Q:
        return (s.n - self.rest + self.panel_columns - 1) // self.panel_columns

    def leading_dimension(self, extent: Q) -> Q:
        """A row length of packed A: an odd number of cache lines, so that rows do not meet in the same cache sets."""
        line = 64 * 8 // self.scalar.bits
        return ((extent + line - 1) // line // 2 * 2 + 1) * line

    def packed_a_extents(self, s: Shape[Q]) -> tuple[Q, Q]:
        """Packed A is rows x contiguous extent, along the axis that its source is contiguous along."""
        depth = self.depth(s)
        return (depth, s.m) if self.a.contiguous == "mn" else (s.m, depth)

    def pack_a_tasks(self, s: Shape[Q]) -> Q:
        rows, _ = self.packed_a_extents(s)
        return self.packs_a(s) * rows * (s.batch if self.a.batched else 1)

    def packed_a_bytes(self, s: Shape[Q]) -> Q:
        _, extent = self.packed_a_extents(s)
        return self.pack_a_tasks(s) * self.leading_dimension(extent) * (self.scalar.bits // 8)

    def pack_b_tasks(self, s: Shape[Q]) -> Q:
        """One for every panel, and of pieces one for what is left to dot products."""
        panels = self.packs_b(s) * self.packed_panels(s) * (s.batch if self.b.batched or self.in_pieces else 1)
        return panels + s.batch if self.rest else panels

    def index_b_tasks(self, s: Shape[Q]) -> Q:
        """Blocks of the table of offsets."""
        return (s.k + AHEAD + TABLE_BLOCK - 1) // TABLE_BLOCK if self.indexes_b else 0 * s.m

    def packed_b_bytes(self, s: Shape[Q]) -> Q:
        if self.indexes_b:
            return self.index_b_tasks(s) * (TABLE_BLOCK * 8)
        return self.pack_b_tasks(s) * self.depth(s) * (self.panel_columns * self.scalar.bits // 8)  # what is left takes less than a panel


@record(slots=True)
class Plan(Generic[Q]):
    """What the caller must provide and run for given sizes."""

    packed_a_bytes: Q
    packed_b_bytes: Q
    pack_a_tasks: Q
    pack_b_tasks: Q
    compute_tasks: Q


def plan(schedule: Schedule, shape: Shape[Q]) -> Plan[Q]:
    """The plan for out[batch, m, n] of `shape`."""
    shape = shape.transposed() if schedule.transposed else shape
    return Plan(
        schedule.packed_a_bytes(shape), schedule.packed_b_bytes(shape), schedule.pack_a_tasks(shape),
        schedule.index_b_tasks(shape) if schedule.indexes_b else schedule.pack_b_tasks(shape),
        schedule.compute_tasks(shape),
    )  # fmt: skip
