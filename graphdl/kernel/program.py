"""Programs of the kernel language: buffers, and steps that write them.

    Program = Buffer*, Step*
    Step    = Kernel | Scatter | Cumulative
    Kernel  = axes, Store*                 one loop nest; its stores share leading axes
    Store   = buffer[index over axes] := Expr
    Scatter = for axes in order: buffer[index] := combine(buffer[index], Expr)
    Cumulative = buffer[..., i, ...] := combine of Expr over the axis up to i

Every step names the graph nodes it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .expression import Axis, Buffer, Expr, Index, Load, walk


@dataclass(frozen=True)
class Store:
    """`buffer[index] := value` for every point of `axes`."""

    buffer: Buffer
    axes: tuple[Axis, ...]
    index: Index
    value: Expr


@dataclass(frozen=True)
class Kernel:
    """Stores over one domain. The axes of every store are a prefix of `axes`."""

    name: str
    axes: tuple[Axis, ...]
    stores: tuple[Store, ...]
    origins: tuple[Any, ...] = field(default=(), compare=False)

    @property
    def values(self) -> tuple[Expr, ...]:
        return tuple(store.value for store in self.stores)

    @property
    def written(self) -> tuple[Buffer, ...]:
        return tuple(store.buffer for store in self.stores)


@dataclass(frozen=True)
class Scatter:
    """For every point of `axes`, in order: `buffer[index]` combined with `value`; indices may repeat.

    `free` axes appear plainly in `index`, so different values of them touch different elements.
    """

    name: str
    axes: tuple[Axis, ...]
    free: tuple[Axis, ...]
    buffer: Buffer
    index: Index
    value: Expr
    kind: str = "sum"
    origins: tuple[Any, ...] = field(default=(), compare=False)

    @property
    def values(self) -> tuple[Expr, ...]:
        return (self.value,)

    @property
    def written(self) -> tuple[Buffer, ...]:
        return (self.buffer,)


@dataclass(frozen=True)
class Cumulative:
    """`buffer[axes] := combine of value over `along` up to (exclusive: before) the point`; `reverse` goes from the end."""

    name: str
    axes: tuple[Axis, ...]
    along: Axis
    buffer: Buffer
    value: Expr
    kind: str = "sum"
    exclusive: bool = False
    reverse: bool = False
    origins: tuple[Any, ...] = field(default=(), compare=False)

    @property
    def values(self) -> tuple[Expr, ...]:
        return (self.value,)

    @property
    def written(self) -> tuple[Buffer, ...]:
        return (self.buffer,)


Step = Kernel | Scatter | Cumulative


@dataclass
class Program:
    """Buffers by kind and the steps that compute them, in order."""

    inputs: list[Buffer] = field(default_factory=list)
    outputs: list[Buffer] = field(default_factory=list)
    parameters: list[Buffer] = field(default_factory=list)
    constants: list[Buffer] = field(default_factory=list)
    temporaries: list[Buffer] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    sites: list[str] = field(default_factory=list)  # what to say when an index read from data is out of range

    def __str__(self) -> str:
        from .printer import format_program

        return format_program(self)


def read_buffers(step: Step) -> tuple[Buffer, ...]:
    """The storages that a step reads, in order of appearance."""
    found: dict[Buffer, None] = {}
    roots = list(step.values)
    for x in walk(*roots, *_index_values(step)):
        if isinstance(x, Load):
            found[x.buffer.storage] = None
    if isinstance(step, Scatter):
        found[step.buffer.storage] = None
    return tuple(found)


def _index_values(step: Step) -> list[Expr]:
    from ..sizes import atoms_of
    from .expression import Loaded

    if not isinstance(step, Scatter):
        return []
    return [atom.value for part in step.index for atom in atoms_of(part) if isinstance(atom, Loaded)]
