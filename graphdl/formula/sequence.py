"""Formulas of sequences: what a loop makes, step by step, and one element of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..record import record
from .tree import Call, Formula, Indexed, Name, listed

if TYPE_CHECKING:
    from .notation import Pen

TIME = "t"


@record
class Stack(Formula):
    """The `element` of every step t, as one tensor; drawn as the `whole` where it has a name."""

    element: Formula
    whole: Name | None = None

    @property
    def parts(self) -> tuple[Formula, ...]:
        return (self.element,) if self.whole is None else ()

    def draw(self, pen: Pen) -> str:
        return self.whole.draw(pen) if self.whole else pen.fenced("⟨", self.element.draw(pen), "⟩")


@record
class Listed(Formula):
    """Formulas with commas between."""

    entries: tuple[Formula, ...]

    @property
    def parts(self) -> tuple[Formula, ...]:
        return self.entries

    def draw(self, pen: Pen) -> str:
        return listed(self.entries, pen)


def stack(element: Formula) -> Stack:
    """The stack of an element; that of hₜ is h."""
    named = isinstance(element, Name) and element.subscript.split(",")[-1] == TIME
    return Stack(element, Name(element.text, element.subscript[: -len(TIME)].rstrip(",")) if isinstance(element, Name) and named else None)


def subscripted(name: Name, index: str) -> Name:
    """The name with one more subscript."""
    return Name(name.text, f"{name.subscript},{index}" if name.subscript else index)


def at(x: Formula, index: str = TIME, axis: int = 0) -> Formula:
    """The element of `x` at `index` along an axis."""
    if axis:
        return Indexed(x, (*[Name(":")] * axis, Name(index)))
    if isinstance(x, Stack):
        return x.element
    if isinstance(x, Name):
        return subscripted(x, index)
    if isinstance(x, Call) and x.function == "transpose" and x.subscript[1:] == "".join(sorted(x.subscript[1:])):
        return at(x.arguments[0], index)
    return Indexed(x, (Name(index),))


def rewritten(x: Formula, change: Callable[[Formula], Formula | None]) -> Formula:
    """`x` with every part that `change` gives something for replaced by that, from the outside in."""
    found = change(x)
    if found is not None:
        return found
    if not x.parts:
        return x
    changed: dict[str, Formula | tuple[Formula, ...]] = {}
    for name, value in vars(x).items():
        if isinstance(value, Formula):
            new = rewritten(value, change)
            if new is not value:
                changed[name] = new
        elif isinstance(value, tuple) and value and isinstance(value[0], Formula):
            parts = tuple(rewritten(part, change) for part in value)
            if any(a is not b for a, b in zip(parts, value, strict=True)):
                changed[name] = parts
    return dataclasses.replace(x, **changed) if changed else x


__all__ = ["TIME", "Listed", "Stack", "at", "rewritten", "stack", "subscripted"]
