"""Nested structures of tensors: tuples, lists and dicts to any depth, with None for nothing.

`flatten({"h": h, "c": (c, None)})` gives [h, c] and the structure, which puts other leaves in their places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .record import record

_LEAF = "leaf"


@record
class Structure:
    """What is left of a nested value without its leaves: the kind of container, its keys and its parts."""

    kind: Any
    keys: tuple[Any, ...] = ()
    parts: tuple[Structure, ...] = ()

    @property
    def count(self) -> int:
        """The number of leaves."""
        return 1 if self.kind == _LEAF else sum(part.count for part in self.parts)

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """The nested value with these leaves."""
        return self._build(iter(leaves))

    def _build(self, leaves: Iterator[Any]) -> Any:
        if self.kind == _LEAF:
            return next(leaves)
        if self.kind is None:
            return None
        parts = [part._build(leaves) for part in self.parts]
        if self.kind is dict:
            return dict(zip(self.keys, parts, strict=True))
        return self.kind(*parts) if hasattr(self.kind, "_fields") else self.kind(parts)

    def paths(self, stem: str = "") -> Iterator[str]:
        """Where every leaf is, as it would be subscripted: `carry["h"][0]`."""
        if self.kind == _LEAF:
            yield stem
        for key, part in zip(self.keys, self.parts, strict=True):
            yield from part.paths(f"{stem}[{key!r}]")

    def __str__(self) -> str:
        if self.kind == _LEAF:
            return "*"
        if self.kind is None:
            return "None"
        if self.kind is dict:
            return "{" + ", ".join(f"{key!r}: {part}" for key, part in zip(self.keys, self.parts, strict=True)) + "}"
        inner = ", ".join(map(str, self.parts))
        return f"[{inner}]" if self.kind is list else f"({inner},)" if len(self.parts) == 1 else f"({inner})"


def flatten(value: Any) -> tuple[list[Any], Structure]:
    """The leaves in order, and the structure they were taken from. Whatever is no tuple, list, dict or None is a leaf."""
    leaves: list[Any] = []
    return leaves, _describe(value, leaves.append)


def _describe(value: Any, add: Callable[[Any], None]) -> Structure:
    if value is None:
        return Structure(None)
    if isinstance(value, dict):
        return Structure(dict, tuple(value), tuple(_describe(part, add) for part in value.values()))
    if isinstance(value, (tuple, list)):
        return Structure(type(value), tuple(range(len(value))), tuple(_describe(part, add) for part in value))
    add(value)
    return Structure(_LEAF)
