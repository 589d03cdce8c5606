"""What a model's config.json says, each value checked against its bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import FormatError
from .shards import read_json

LARGEST = 1 << 20  # bytes


class Configuration:
    """The values of a config.json by name. Raises FormatError for a file that is none, and for values out of bounds."""

    def __init__(self, path: str | os.PathLike[str], values: dict[str, Any] | None = None) -> None:
        self.path = Path(path)
        self.values = read_json(self.path, LARGEST) if values is None else values

    def within(self, name: str) -> Configuration:
        """The values in an object of that name; none where it is not there."""
        value = self._given(name, {})
        if not isinstance(value, dict):
            raise self._error(name, value, "an object")
        return Configuration(self.path, value)

    def labels(self, name: str, most: int) -> int:
        """How many labels an object of that name holds: the numbers from 0, each as text."""
        held = self.within(name).values
        if not 1 <= len(held) <= most or any(str(k) not in held for k in range(len(held))):
            raise self._error(name, held or None, f"1 to {most} labels, numbered from 0")
        return len(held)

    def whole(self, name: str, most: int, otherwise: int | None = None, least: int = 1) -> int:
        """A whole number from `least` to `most`; `otherwise` where none is given."""
        value = self._given(name, otherwise)
        if type(value) is not int or not least <= value <= most:
            raise self._error(name, value, f"a whole number from {least} to {most}")
        return value

    def wholes(self, name: str, most: int, longest: int) -> list[int]:
        """A list of 1 to `longest` whole numbers from 1 to `most`."""
        value = self._given(name, None)
        if not isinstance(value, list) or not 1 <= len(value) <= longest or not all(type(size) is int and 1 <= size <= most for size in value):
            raise self._error(name, value, f"a list of 1 to {longest} whole numbers from 1 to {most}")
        return value

    def number(self, name: str, otherwise: float, least: float, most: float) -> float:
        """A number from `least` to `most`."""
        value = self._given(name, otherwise)
        if type(value) not in (int, float) or not least <= value <= most:
            raise self._error(name, value, f"a number from {least:g} to {most:g}")
        return float(value)

    def one_of(self, name: str, *values: Any) -> Any:
        """One of some values, the first of them where none is given."""
        value = self._given(name, values[0])
        if not any(value == one and type(value) is type(one) for one in values):
            raise self._error(name, value, " or ".join(map(repr, values)))
        return value

    def absent(self, *names: str) -> None:
        """Refuse options that would change the results in a way that is not followed."""
        for name in names:
            if self.values.get(name) not in (None, False):
                raise self._error(name, self.values[name], "left out")

    def _given(self, name: str, otherwise: Any) -> Any:
        value = self.values.get(name)
        return otherwise if value is None else value

    def _error(self, name: str, value: Any, wanted: str) -> FormatError:
        told = "is missing" if value is None else f"is {value!r:.80}"
        return FormatError(f"{self.path}: {name} {told}; it must be {wanted}")
