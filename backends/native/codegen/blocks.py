"""Maps that read along one axis what they write along another, in runs of a few neighbours: in blocks of both, so that lines stay in the caches.

    out[.., i, j, r] = f(loads[.., j, i, r])  ->  the same over .., i', j', i, j, r with few i and j

Row after row of the result, each run would be read from a line of its own, far from the one before; the line's other runs are wanted a row later,
when it is gone.
"""

from __future__ import annotations

from graphdl.kernel.expression import Axis, Load, Reduce, fresh_axis, walk
from graphdl.sizes import Atom, Dim, as_size

from .affine import Flat, rename, step_of

LONGEST = 32  # elements of a run; longer ones are lines of their own
FAR = 256  # elements between runs that are read one after the other
LARGEST, LEAST = 16, 3  # runs of a block along each axis


def in_blocks(flat: Flat) -> Flat:
    """The same nest, the two axes before its last one in blocks if it is such a map."""
    if len(flat.axes) < 3 or any(store.axes != flat.axes for store in flat.stores):
        return flat
    *outer, i, j, run = flat.axes
    blocks = _block(i.size), _block(j.size)
    short = isinstance(run.size, int) and run.size <= LONGEST
    return _split(flat, outer, (i, j, run), blocks) if short and min(blocks) >= LEAST and _is_turned(flat, i, j, run) else flat


def _block(size: Dim) -> int:
    """The largest number of runs that divides all there are; 0 if that is not known."""
    return max(k for k in range(1, LARGEST + 1) if size % k == 0) if isinstance(size, int) and size > LARGEST else 0


def _is_turned(flat: Flat, i: Axis, j: Axis, run: Axis) -> bool:
    """Whether runs are read as such, some of them far from each other along j, nearer along i."""
    expressions = {x for store in flat.stores for x in walk(store.value)}
    if any(isinstance(x, Reduce) for x in expressions):
        return False
    steps = [tuple(_step(x.index[0], axis) for axis in (i, j, run)) for x in expressions if isinstance(x, Load)]
    return any(along_j >= FAR and 0 < along_i < along_j for along_i, along_j, _ in steps) and all(abs(step) <= 1 for *_, step in steps)


def _step(offset: Dim, axis: Axis) -> int:
    """By how many elements an offset moves along an axis, 0 if that is not known."""
    step = step_of(offset, axis)
    return step if isinstance(step, int) else 0


def _split(flat: Flat, outer: list[Axis], axes: tuple[Axis, Axis, Axis], blocks: tuple[int, int]) -> Flat:
    *split, run = axes
    high = [fresh_axis(axis.size // block, "i") for axis, block in zip(split, blocks, strict=True)]
    low = [fresh_axis(block, "i") for block in blocks]
    values: dict[Atom, Dim] = {axis: as_size(a) * block + as_size(b) for axis, a, b, block in zip(split, high, low, blocks, strict=True)}
    return rename(flat, values, (*outer, *high, *low, run), {split[0]: tuple(high), split[1]: tuple(low)})
