"""Layouts: how the names and shapes of arrays in a file become those of a model, as rows of data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from ..errors import FormatError
from ..record import record

Array = np.ndarray[Any, Any]


@record
class Row:
    """Arrays whose name fits `pattern` become those named `targets`; without targets they are left out.

    In a pattern `*` is one part of a dotted name and `**` any number of parts, at least one. In targets `{0}` is what the first of
    them stood for, and `{0+1}` that number plus one. An array for several targets is cut along `axis`, each as long as the model's
    own. With `transposed` the axes of a matrix change places.
    """

    pattern: str
    targets: tuple[str, ...] = ()
    transposed: bool = False
    axis: int = 0

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """The pattern as a regular expression."""
        parts = (re.escape(part) if part not in ("*", "**") else r"([^.]+)" if part == "*" else r"(.+)" for part in self.pattern.split("."))
        return re.compile(r"\.".join(parts))

    def names(self, name: str) -> tuple[str, ...] | None:
        """The targets for an array's name; None where it does not fit."""
        found = self.expression.fullmatch(name)
        if found is None:
            return None
        parts = found.groups()
        return tuple(_PLACE.sub(lambda place: _filled(place, parts), target) for target in self.targets)


_PLACE = re.compile(r"\{(\d+)(?:\+(\d+))?\}")


def _filled(place: re.Match[str], parts: tuple[str, ...]) -> str:
    part, added = parts[int(place[1])], place[2]
    if added is None:
        return part
    if not (part.isascii() and part.isdigit() and len(part) < 10):
        raise FormatError(f"{part!r} stands where a number is expected")
    return str(int(part) + int(added))


@record
class Layout:
    """A named table of rows. The first that fits an array's name counts; where none does, the name stays."""

    name: str
    rows: tuple[Row, ...]

    def arrange(self, arrays: Mapping[str, Array], own: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays under the names of a model whose state is `own`, uncopied but where they are transposed.

        An array that the model holds under two names is enough under one of them. Raises FormatError where two arrays get one
        name, or one cannot be cut as the model needs it.
        """
        found: dict[str, Array] = {}
        for name, array in arrays.items():
            for target, part in self._parts(name, array, own):
                if target in found:
                    raise FormatError(f"layout {self.name}: {name} becomes {target}, as another array does")
                found[target] = part
        given = {id(own[name]): array for name, array in found.items() if name in own}
        return found | {name: given[id(array)] for name, array in own.items() if name not in found and id(array) in given}

    def _parts(self, name: str, array: Array, own: Mapping[str, Array]) -> list[tuple[str, Array]]:
        for row in self.rows:
            if (targets := row.names(name)) is not None:
                turned = np.ascontiguousarray(array.T) if row.transposed and array.ndim == 2 else array
                return [(targets[0], turned)] if len(targets) == 1 else self._cut(row, name, turned, targets, own)
        return [(name, array)]

    def _cut(self, row: Row, name: str, array: Array, targets: tuple[str, ...], own: Mapping[str, Array]) -> list[tuple[str, Array]]:
        if not targets:
            return []
        sizes = [own[target].shape[row.axis] if target in own and own[target].ndim > row.axis else -1 for target in targets]
        if array.ndim <= row.axis or min(sizes) < 0 or sum(sizes) != array.shape[row.axis]:
            raise FormatError(f"layout {self.name}: {name} of shape {list(array.shape)} cannot be cut into {', '.join(targets)} of sizes {sizes}")
        return list(zip(targets, np.split(array, list(accumulate(sizes))[:-1], axis=row.axis), strict=True))
