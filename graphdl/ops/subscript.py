"""`x[key]`: ints, slices, None, an ellipsis and integer tensors, with NumPy's meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import IndexOutOfRangeError, TypeRuleError
from ..ir import Tensor, as_tensor
from ..op import function
from ..sizes import Dim, Size, product
from .elementwise import describe
from .indexing import CheckedIndex, take
from .shape import reshape, transpose
from .slicing import Slice, slice_bounds


@dataclass
class _Selection:
    """What a key selects: a slice of every axis, the axes that stay or are new, and those of them that are taken from, by which indices."""

    starts: list[Dim]
    sizes: list[Dim]
    steps: list[int]
    shape: list[Dim]
    taken: dict[int, Tensor] = field(default_factory=dict)


@function
def index(x: Any, key: Any) -> Tensor:
    """x[key] for a key of ints, slices (negative steps too), None, `...` and integer tensors or arrays, which are broadcast to one shape.

    Raises IndexOutOfRangeError for an int outside a known size, TypeRuleError for masks and other keys.
    """
    tensor = as_tensor(x)
    parts = [_plain(part, tensor) for part in (key if isinstance(key, tuple) else (key,))]
    parts = _without_ellipsis(parts, tensor)
    chosen = _select(parts, tensor)
    sliced = _sliced(tensor, chosen)
    if not chosen.taken:
        return sliced
    axis = min(chosen.taken)
    whole, indices = _joined(sliced, chosen.taken) if len(chosen.taken) > 1 else (sliced, chosen.taken[axis])
    taken = take(whole, indices, axis)
    return _moved_to_front(taken, axis, indices.ndim) if _are_apart(parts) else taken


def _plain(part: Any, x: Tensor) -> Any:
    """A part of a key: an int or size, a slice, None, Ellipsis or an integer tensor."""
    if part is None or part is Ellipsis or (isinstance(part, (int, Size)) and not isinstance(part, bool)):
        return part
    if isinstance(part, slice):
        if any(isinstance(bound, Tensor) for bound in (part.start, part.stop, part.step)):
            raise TypeRuleError(f"index: a slice of {describe(x)} has a tensor for a bound: use gd.take(x, start + gd.arange(size), axis)")
        return part
    if isinstance(part, np.integer):
        return int(part)
    indices = as_tensor(np.asarray(part, "int64") if isinstance(part, list) and not part else part)
    if indices.dtype == "bool":
        raise TypeRuleError(f"index: a mask of {describe(x)} would keep a number of elements that is not known: use gd.where(mask, x, otherwise)")
    return indices


def _without_ellipsis(parts: Sequence[Any], x: Tensor) -> list[Any]:
    """The key with a part for every axis."""
    at = [k for k, part in enumerate(parts) if part is Ellipsis]
    named = sum(part is not None and part is not Ellipsis for part in parts)
    if len(at) > 1 or named > x.ndim:
        raise TypeRuleError(f"index: the key names {named} axes with {len(at)} ellipses; {describe(x)} has {x.ndim} axes")
    middle = [slice(None)] * (x.ndim - named)
    return [*parts[: at[0]], *middle, *parts[at[0] + 1 :]] if at else [*parts, *middle]


def _select(parts: Sequence[Any], x: Tensor) -> _Selection:
    chosen = _Selection([], [], [], [])
    for part in parts:
        if part is None:
            chosen.shape.append(1)
            continue
        size = x.shape[len(chosen.starts)]
        start, length, step = _bounds(part, size, x)
        if isinstance(part, Tensor):
            chosen.taken[len(chosen.shape)] = part
        if isinstance(part, (slice, Tensor)):
            chosen.shape.append(length)
        chosen.starts.append(start)
        chosen.sizes.append(length)
        chosen.steps.append(step)
    return chosen


def _bounds(part: Any, size: Dim, x: Tensor) -> tuple[Dim, Dim, int]:
    if isinstance(part, Tensor):
        return 0, size, 1
    if isinstance(part, slice):
        return slice_bounds(part, size)
    if isinstance(part, int) and isinstance(size, int) and not -size <= part < size:
        raise IndexOutOfRangeError(f"index: {part} is out of range for an axis of size {size} of {describe(x)}")
    return (part + size if isinstance(part, int) and part < 0 else part), 1, 1


def _sliced(x: Tensor, chosen: _Selection) -> Tensor:
    whole = all(start == 0 for start in chosen.starts) and all(step == 1 for step in chosen.steps) and tuple(chosen.sizes) == x.shape
    part = x if whole else Slice(tuple(chosen.starts), tuple(chosen.sizes), tuple(chosen.steps))(x)
    return reshape(part, chosen.shape)


def _joined(x: Tensor, taken: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
    """x with all axes that are taken from as one, where the first of them is, and the indices into that."""
    first, *others = taken
    order = [*range(first), first, *others, *(k for k in range(first, x.ndim) if k not in taken)]
    moved = transpose(x, order)
    behind = moved.shape[first + len(taken) :]
    at = CheckedIndex(x.shape[first])(taken[first])
    for axis in others:
        at = at * x.shape[axis] + CheckedIndex(x.shape[axis])(taken[axis])
    return reshape(moved, (*moved.shape[:first], product(x.shape[axis] for axis in taken), *behind)), at


def _are_apart(parts: Sequence[Any]) -> bool:
    """Whether ints and tensors have a slice or None between them: then NumPy puts the tensors' axes first."""
    at = [k for k, part in enumerate(parts) if isinstance(part, (int, Size, Tensor))]
    return len(at) < at[-1] - at[0] + 1


def _moved_to_front(x: Tensor, axis: int, count: int) -> Tensor:
    return transpose(x, (*range(axis, axis + count), *range(axis), *range(axis + count, x.ndim)))
