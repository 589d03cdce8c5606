"""The elements of an array under another shape: where each one lies, and which axes go together."""

from __future__ import annotations

from ..kernel.expression import Index
from ..sizes import Dim, divides, is_nonnegative, product
from ..types import Shape


def folded(shape: Shape, axis: int) -> tuple[Dim, Dim, Dim]:
    """The shape as three axes: all before `axis`, itself, and all after it."""
    return product(shape[:axis]), shape[axis], product(shape[axis + 1 :])


def reindex(index: Index, from_shape: Shape, to_shape: Shape) -> Index:
    """The index in `to_shape` of the element at `index` in `from_shape`, both row-major over the same elements.

    Stretches of axes with equal products are matched, so that most reshapes need no division.
    """
    if 0 in from_shape or 0 in to_shape:
        return (0,) * len(to_shape)  # there is no element to find
    result: list[Dim] = []
    for source, target in _match(from_shape, to_shape):
        flat: Dim = 0
        for k in source:
            flat = flat * from_shape[k] + index[k]
        result.extend(_unravel(flat, [to_shape[k] for k in target]))
    return tuple(result)


def _unravel(flat: Dim, sizes: list[Dim]) -> list[Dim]:
    """A linear index taken apart over `sizes`; the first axis needs no modulo."""
    found: list[Dim] = []
    real = [k for k, size in enumerate(sizes) if size != 1]
    inner: Dim = 1
    for k in range(len(sizes) - 1, -1, -1):
        if sizes[k] == 1:
            found.append(0)
            continue
        part = flat // inner if inner != 1 else flat
        found.append(part if k == real[0] else part % sizes[k])
        inner = inner * sizes[k]
    return found[::-1]


def _match(left: Shape, right: Shape) -> list[tuple[list[int], list[int]]]:
    """Groups of consecutive axes of both shapes with equal numbers of elements."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(left) or j < len(right):
        a, b = ([i], [j]) if i < len(left) and j < len(right) else (list(range(i, len(left))), list(range(j, len(right))))
        i, j = i + len(a), j + len(b)
        while (m := product(left[k] for k in a)) != (n := product(right[k] for k in b)):
            is_part, is_whole = m != 0 and divides(m, n) is not None, n != 0 and divides(n, m) is not None
            grow_left = i < len(left) and (j >= len(right) or is_part or (not is_whole and not is_nonnegative(m - n)))
            if grow_left:
                a.append(i)
                i += 1
            elif j < len(right):
                b.append(j)
                j += 1
            else:
                break
        groups.append((a, b))
    return groups


def aligned(shape: Shape, rank: int) -> Shape | None:
    """The shape with leading axes of size 1 up to `rank`, or without as many as are too many; None if others are too many."""
    surplus = len(shape) - rank
    if surplus <= 0:
        return (1,) * -surplus + shape
    return shape[surplus:] if all(size == 1 for size in shape[:surplus]) else None


def matched_axes(left: Shape, right: Shape) -> list[tuple[list[int], list[int]]] | None:
    """Groups of consecutive axes of two shapes over the same elements, with as many elements each; None where that cannot be told."""
    if 0 in left or 0 in right:
        return None
    groups = _match(left, right)
    return groups if all(product(left[k] for k in a) == product(right[k] for k in b) for a, b in groups) else None
