"""Places along axes, as Python writes slices."""

from __future__ import annotations

from collections.abc import Sequence

from ..sizes import Dim
from .sequence import Listed
from .tree import Fenced, Formula, Number


def places_of(starts: Sequence[Dim], sizes: Sequence[Dim], steps: Sequence[int], shape: Sequence[Dim]) -> tuple[Formula, ...]:
    """The places of a slice of an array of `shape`, without whole axes before or behind; none for all of it."""
    parts = [Number(_places(*axis)) for axis in zip(starts, sizes, steps, shape, strict=True)]
    cut = [k for k, part in enumerate(parts) if part.text != ":"]
    if not cut:
        return ()
    if cut[0] > 0 and cut[-1] == len(parts) - 1:
        return (Number("…"), *parts[cut[0] :])
    return tuple(parts[: cut[-1] + 1])


def bracketed(places: Sequence[Formula]) -> Formula:
    """[…, 0:6]"""
    return Fenced("[", Listed(tuple(places)), "]")


def _places(start: Dim, size: Dim, step: int, whole: Dim) -> str:
    if size == 1 != whole:
        return str(start)
    stop = start + size * step
    first = "" if start == (0 if step > 0 else whole - 1) else str(start)
    last = "" if stop == whole or (isinstance(stop, int) and (stop < 0 or (isinstance(whole, int) and stop > whole))) else str(stop)
    return f"{first}:{last}" + (f":{step}" if step != 1 else "")
