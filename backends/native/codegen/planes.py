"""Windows over planes: every result sees one channel, as in a depthwise convolution or one of a single channel, so that sums are too short for a product.

What such a sum is, and how it is cut: a task is a band of rows of one plane, for a few of the results that see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphdl.kernel.expression import Axis, Expr, Load, Reduce, Scalar, axes_of, walk
from graphdl.record import record
from graphdl.sizes import Dim, ceildiv, content, product

from ..target import Target
from .affine import Flat, linear_part
from .beside import LEAST_TASKS
from .comparison import bound_of
from .nest import single_lanes
from .pieces import element_of
from .strided import MOST

FEWEST_TAPS = 4  # below, little is read twice
FEWEST_COLUMNS = 5  # below, vectors stay mostly empty
FEWEST_SUMS = 4  # in registers, however many taps a column has
MOST_VECTORS = 64  # of one row of a plane
BAND_BYTES = 24 << 10  # of rows that stay in the first-level cache
MOST_BYTES = 256 << 10  # of a task's own memory
MOST_OUTPUTS = 8  # of one copy: copying is little beside so many


@record
class Line:
    """The windows along one axis: tap t of window i lies at i * stride + t * dilation - low, and is an element from 0 to below `size`."""

    windows: Axis
    tap: Axis | None
    stride: int
    dilation: int
    low: int
    size: int

    @property
    def count(self) -> int:
        return self.windows.size  # type: ignore[return-value]

    @property
    def taps(self) -> int:
        return 1 if self.tap is None else self.tap.size  # type: ignore[return-value]

    def reach(self, windows: int) -> int:
        """How many places so many windows cover."""
        return (windows - 1) * self.stride + (self.taps - 1) * self.dilation + 1


@record
class Plane:
    """A sum over a window of `element` times `weight`: `row_step` apart lie the rows, the first element of a plane lies at `origin`."""

    outer: tuple[Axis, ...]
    rows: Line
    columns: Line
    row_step: int
    origin: Dim
    element: Load
    weight: Load
    sums: Reduce

    @property
    def outputs(self) -> int:
        """How many neighbouring results see the same plane of data: 1 in a depthwise convolution."""
        *_, last = self.outer
        return last.size if isinstance(last.size, int) and last not in axes_of(self.origin) else 1


@record
class Cut:
    """Sums of `height` rows and `vectors` vectors stay in registers; a task has a band of `band` rows, of `outputs` results that see the same data.

    The rows of the data are kept with their borders, `pitch` elements for each of the `phases` of places, which vectors take in steps of one.
    """

    lanes: int
    height: int
    vectors: int
    band: int
    phases: tuple[int, ...]
    pitch: int
    outputs: int

    @property
    def row(self) -> int:
        return len(self.phases) * self.pitch


def plane_of(flat: Flat) -> Plane | None:
    """The one sum over windows of a plane that all stores share, or None if it is anything else."""
    sums = list(dict.fromkeys(x for store in flat.stores for x in walk(store.value) if isinstance(x, Reduce)))
    if len(sums) != 1 or len(flat.axes) < 3 or any(store.axes != flat.axes for store in flat.stores):
        return None
    (x,) = sums
    if x.kind != "sum" or x.dtype not in ("float32", "float64") or not isinstance(x.body, Scalar) or x.body.function != "multiply":
        return None
    if not 1 <= len(x.reduced) <= 2 or not all(isinstance(axis.size, int) for axis in (*x.reduced, *flat.axes[-2:])):
        return None
    for left, right in (x.body.operands, x.body.operands[::-1]):
        found = element_of(left)
        if found is not None and isinstance(right, Load) and right.axes.isdisjoint(flat.axes[-2:]):
            return _plane(flat, x, *found, right)
    return None


def _plane(flat: Flat, x: Reduce, element: Load, inside: Sequence[Expr], weight: Load) -> Plane | None:
    *outer, i, j = flat.axes
    along = _along(x.reduced, inside, j)
    r, c = next((axis for axis in x.reduced if axis is not along), None), along
    steps, origin = [], element.index[0]
    for axis in (i, r, j, c):
        parts = (0, origin) if axis is None else linear_part(origin, axis)
        if parts is None or not isinstance(parts[0], int):
            return None
        steps.append(parts[0])
        origin = parts[1]
    of_rows = [one for one in inside if i in one.axes or r in one.axes]
    unit = _unit(of_rows, i, steps[0]) or math.gcd(steps[0], steps[1])
    if unit <= 0 or steps[0] <= 0 or steps[1] < 0 or steps[2] not in range(1, MOST + 1) or steps[3] < 0 or steps[0] % unit or steps[1] % unit:
        return None
    rows = _line(i, r, steps[0] // unit, steps[1] // unit, of_rows)
    columns = _line(j, c, steps[2], steps[3], [one for one in inside if one not in of_rows])
    if rows is None or columns is None or {element.dtype, weight.dtype} != {x.dtype} or element.buffer in {store.buffer for store in flat.stores}:
        return None
    if rows.taps * columns.taps < FEWEST_TAPS or columns.count < FEWEST_COLUMNS:
        return None
    return Plane(tuple(outer), rows, columns, unit, origin + rows.low * unit + columns.low, element, weight, x)


def _along(taps: Sequence[Axis], inside: Sequence[Expr], j: Axis) -> Axis:
    """The axis of taps that goes along the columns: that of a condition with both, else the last one."""
    return next((axis for axis in taps for one in inside if axis in one.axes and j in one.axes), taps[-1])


def _unit(inside: Sequence[Expr], axis: Axis, step: int) -> int | None:
    """How many elements a step of one place is, told by the conditions."""
    factors = [bound[0] for bound in (bound_of(one, axis) for one in inside) if bound is not None and bound[0]]
    return step // abs(factors[0]) if factors else None


def _line(windows: Axis, tap: Axis | None, stride: int, dilation: int, inside: Sequence[Expr]) -> Line | None:
    """The line with these conditions, each of which is a bound of the place from below or from above; None if one is anything else."""
    lower: list[int] = []
    upper: list[int] = []
    for condition in inside:
        bound = bound_of(condition, windows)
        if bound is None:
            return None
        factor, rest = bound
        parts = (0, rest) if tap is None else linear_part(rest, tap)
        if parts is None or not isinstance(parts[1], int) or abs(factor) != stride or (tap is not None and parts[0] * stride != dilation * factor):
            return None
        (lower if factor > 0 else upper).append(parts[1])
    low = 1 - min(lower) if lower else 0
    line = Line(windows, tap, stride, dilation, low, 0)
    is_far = tap is not None and dilation > (line.count - 1) * stride  # no taps of a window but other planes, as channels are
    if low < 0 or len(lower) > 1 or len(upper) > 1 or is_far:
        return None
    size = min(upper) - low if upper else line.reach(line.count) - low
    return Line(windows, tap, stride, dilation, low, size) if size > 0 else None


def cut_of(plane: Plane, flat: Flat, target: Target) -> Cut | None:
    """How a plane is cut, or None if its rows are too long."""
    rows, columns = plane.rows, plane.columns
    lanes = single_lanes(flat.stores, target)
    sums = max((target.vector_registers - rows.taps - 1) // 2, FEWEST_SUMS)
    height = _even(rows.count, sums)
    across = -(-columns.count // lanes)
    vectors = _even(across, max(sums // height, 1))
    phases = tuple(sorted({tap * columns.dilation % columns.stride for tap in range(columns.taps)}))
    places = -(-across // vectors) * vectors * lanes + (columns.taps - 1) * columns.dilation // columns.stride
    pitch = -(-places // lanes) * lanes
    row_bytes = len(phases) * pitch * target.vector_bytes // lanes
    most = max((BAND_BYTES // row_bytes - rows.reach(1)) // rows.stride + 1, height)
    band = min(most // height * height, -(-rows.count // height) * height)
    tasks = content(product(axis.size for axis in plane.outer)) * -(-rows.count // band)
    outputs = _even(plane.outputs, max(min(tasks // LEAST_TASKS, MOST_OUTPUTS), 1))
    cut = Cut(lanes, height, vectors, band, phases, pitch, outputs)
    return None if lanes < 2 or cut.row > MOST_VECTORS * lanes or rows.reach(band) * row_bytes > MOST_BYTES else cut


def _even(count: int, most: int) -> int:
    """The greatest of nearly equal parts, none above `most`."""
    parts = -(-count // most)
    return -(-count // parts)


def tasks_of(plane: Plane, cut: Cut) -> Dim:
    """How many tasks there are."""
    return product(blocks_of(plane, cut)) * ceildiv(plane.rows.count, cut.band)


def blocks_of(plane: Plane, cut: Cut) -> list[Dim]:
    """How many tasks there are along each outer axis, but for those of bands of rows."""
    *others, last = (axis.size for axis in plane.outer)
    return [*others, ceildiv(last, cut.outputs)]
