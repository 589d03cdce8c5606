"""Products whose right side lies in memory piece by piece, as the windows of a convolution do: what they are.

The columns of the product are several axes (samples, rows, places of a row), and neighbours along the last one lie side by side in
memory, or a stride apart. For one tap of the window, those of a row that meet an element are a range of places; elsewhere is padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdl.kernel.expression import Axis, Expr, Guard, IndexValue, Load, Reduce, Scalar, fresh_axis, is_const
from graphdl.kernel.program import Store
from graphdl.record import record
from graphdl.sizes import Dim, product

from .affine import is_mergeable, linear_part
from .comparison import bound_of
from .strided import is_strided

MOST_TAPS = 512  # of a window whose panel, for one channel, stays in the caches


@record
class Pieces:
    """A sum of products over its own axes: of `left` and, to the right of it, `element` where all of `inside` holds, else zero.

    `columns` are the axes of the product's columns; `step` is the outermost reduced axis, `taps` are those below it. The columns from
    `run` on lie in memory as one, and those from `written` on likewise for the stores: the leading ones of them may be left at 0 while
    the last one runs on.
    """

    left: Expr
    element: Load
    inside: tuple[Expr, ...]
    columns: tuple[Axis, ...]
    run: int
    written: int
    step: Axis
    taps: tuple[Axis, ...]
    sums: Reduce
    stores: tuple[Store, ...]

    @property
    def in_runs(self) -> bool:
        """Whether neighbouring columns of a run are neighbours in memory."""
        parts = linear_part(self.element.index[0], self.columns[-1])
        return parts is not None and parts[0] == 1

    @property
    def depth(self) -> int:
        """The number of taps."""
        return product(axis.size for axis in self.taps)  # type: ignore[return-value]


def pieces_of(x: Reduce, left: Expr, right: Expr, columns: Sequence[Axis], stores: Sequence[Store]) -> Pieces | None:
    """A sum of products whose right side lies in pieces, or None if that is no window over rows or a matrix anyway."""
    found = element_of(right)
    if found is None:
        return None
    element, inside = found
    step, *taps = x.reduced
    if any(step in one.axes for one in inside):  # there is one channel only, and so no axis of channels
        step, taps = fresh_axis(1), [*x.reduced]
    known = [axis.size for axis in taps if isinstance(axis.size, int)]
    if len(known) < len(taps) or product(known) > MOST_TAPS:  # type: ignore[operator]
        return None
    offset, last = element.index[0], columns[-1]
    strides = [linear_part(offset, axis) for axis in (last, *columns[:-1], *x.reduced)]
    if None in strides or any(bound_of(one, last) is None for one in inside):
        return None
    if any(not one.axes.isdisjoint(taps[:-1]) and last in one.axes for one in inside):
        return None  # the range of a row depends on more than the tap along it
    stride = strides[0][0]  # type: ignore[index]
    if stride != 1 and not is_strided(stride):
        return None  # nothing that vectors are good at
    run = _first_of_run(columns, [offset]) if stride == 1 else len(columns) - 1
    written = len(columns) - 1 if _uses_indices(stores, x, columns) else _first_of_run(columns, _offsets(stores, x))
    if not inside and stride == 1 and (len(columns) == 1 or (not taps and written <= run)):
        return None  # a matrix, and its result in no smaller pieces
    return Pieces(left, element, inside, tuple(columns), run, written, step, tuple(taps), x, tuple(stores))


def element_of(right: Expr) -> tuple[Load, tuple[Expr, ...]] | None:
    """What is loaded, and what must hold for it; elsewhere is zero."""
    if isinstance(right, Load):
        return right, ()
    if isinstance(right, Guard) and isinstance(right.body, Load) and is_const(right.otherwise, 0.0):
        return right.body, tuple(_conditions(right.predicate))
    return None


def _conditions(predicate: Expr) -> Iterator[Expr]:
    if not isinstance(predicate, Scalar) or predicate.function != "bit_and":
        yield predicate
        return
    for operand in predicate.operands:
        yield from _conditions(operand)


def _first_of_run(columns: Sequence[Axis], offsets: Sequence[Dim]) -> int:
    """From which axis on all offsets move by the size of each axis for one step of the axis before."""
    first = len(columns) - 1
    while first > 0 and all(is_mergeable(offset, columns[first - 1], columns[first]) for offset in offsets):
        first -= 1
    return first


def _beside(stores: Sequence[Store], sums: Reduce) -> Iterator[Expr]:
    """The parts of what is stored, without the sums and what is in them."""
    stack = [store.value for store in stores]
    while stack:
        x = stack.pop()
        if x is not sums:
            yield x
            stack.extend(x.operands)


def _offsets(stores: Sequence[Store], sums: Reduce) -> list[Dim]:
    return [store.index[0] for store in stores] + [x.index[0] for x in _beside(stores, sums) if isinstance(x, Load)]


def _uses_indices(stores: Sequence[Store], sums: Reduce, columns: Sequence[Axis]) -> bool:
    """Whether what is stored depends on an index itself."""
    return any(isinstance(x, (IndexValue, Reduce)) and not x.axes.isdisjoint(columns) for x in _beside(stores, sums))
