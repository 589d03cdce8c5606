"""Programs of the kernel language: buffers, and steps that write them.

    Program = Buffer*, Step*
    Step    = Kernel | Scatter | Cumulative | Loop | Branch | While
    Kernel  = axes, Store*                 one loop nest; its stores share leading axes
    Store   = buffer[index over axes] := Expr
    Scatter = buffer[b, at(i), a] := buffer[b, at(i), a] joined with Expr, for every i in order
    Cumulative = buffer[b, i, a] := Expr joined over all places up to i
    Loop    = Program for counter = 0, 1, ..., length - 1    Branch = predicate, Program, Program    While = Program, predicate, Program

Every step names the graph nodes it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..record import record
from ..sizes import Dim, as_size
from .expression import Axis, Buffer, Counter, Expr, Index, Load, Loaded, index_atoms, load, walk


@record
class Store:
    """`buffer[index] := value` for every point of `axes`."""

    buffer: Buffer
    axes: tuple[Axis, ...]
    index: Index
    value: Expr


@record
class Kernel:
    """Stores over one domain. The axes of every store are a prefix of `axes`."""

    name: str
    axes: tuple[Axis, ...]
    stores: tuple[Store, ...]
    origins: tuple[Any, ...] = field(default=(), compare=False)
    node: Any = field(default=None, compare=False)  # what the origins are parts of: equal fusions share their parts

    @property
    def values(self) -> tuple[Expr, ...]:
        return tuple(store.value for store in self.stores)

    @property
    def written(self) -> tuple[Buffer, ...]:
        return tuple(store.buffer for store in self.stores)


@record
class Scatter:
    """`buffer[b, at, a]` joined with `value` for all points (b, i, a) of the three `axes`, in the order of i.

    `at` depends on i alone and may repeat; the other two axes are the buffer's own.
    """

    name: str
    axes: tuple[Axis, Axis, Axis]
    buffer: Buffer
    at: Dim
    value: Expr
    kind: str = "sum"
    origins: tuple[Any, ...] = field(default=(), compare=False)

    @property
    def index(self) -> Index:
        return as_size(self.axes[0]), self.at, as_size(self.axes[2])

    @property
    def values(self) -> tuple[Expr, ...]:
        return (self.value, load(self.buffer, self.index))

    @property
    def written(self) -> tuple[Buffer, ...]:
        return (self.buffer,)


@record
class Cumulative:
    """`buffer[index] := y[i]` for all points (b, i, a) of the three `axes`, where y[i] is y[i - 1] joined with `value`.

    With a `factor`, y[i - 1] is multiplied by it first. What is stored is y[i - 1] if `exclusive`; y[-1] is nothing yet.
    """

    name: str
    axes: tuple[Axis, Axis, Axis]
    buffer: Buffer
    index: Index
    value: Expr
    kind: str = "sum"
    factor: Expr | None = None
    exclusive: bool = False
    origins: tuple[Any, ...] = field(default=(), compare=False)

    @property
    def values(self) -> tuple[Expr, ...]:
        return (self.value,) if self.factor is None else (self.value, self.factor)

    @property
    def written(self) -> tuple[Buffer, ...]:
        return (self.buffer,)


class Control:
    """The base of steps that hold programs, which have steps and temporaries of their own and share all else with the outer one."""

    @property
    def parts(self) -> tuple[Program, ...]:
        raise NotImplementedError

    @property
    def values(self) -> tuple[Expr, ...]:
        return tuple(value for part in self.parts for step in part.steps for value in step.values)

    @property
    def written(self) -> tuple[Buffer, ...]:
        return tuple(buffer for part in self.parts for step in part.steps for buffer in step.written)


@record(eq=False)
class Loop(Control):
    """`body` once for every value of `counter` in [0, length), in order."""

    name: str
    counter: Counter
    length: Dim
    body: Program
    origins: tuple[Any, ...] = ()

    @property
    def parts(self) -> tuple[Program, ...]:
        return (self.body,)


@record(eq=False)
class Branch(Control):
    """`then` if the scalar `predicate` is true, else `otherwise`."""

    name: str
    predicate: Buffer
    then: Program
    otherwise: Program
    origins: tuple[Any, ...] = ()

    @property
    def parts(self) -> tuple[Program, ...]:
        return self.then, self.otherwise

    @property
    def values(self) -> tuple[Expr, ...]:
        return (load(self.predicate, ()), *super().values)


@record(eq=False)
class While(Control):
    """`condition`, then `body` if the scalar `predicate` is true by then, and again."""

    name: str
    condition: Program
    predicate: Buffer
    body: Program
    origins: tuple[Any, ...] = ()

    @property
    def parts(self) -> tuple[Program, ...]:
        return self.condition, self.body

    @property
    def values(self) -> tuple[Expr, ...]:
        return (*super().values, load(self.predicate, ()))


Step = Kernel | Scatter | Cumulative | Loop | Branch | While


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
    return tuple(dict.fromkeys(x.buffer.storage for x in walk(*step.values) if isinstance(x, Load)))


def reads_indices(step: Step) -> bool:
    """Whether a step reads an index from data, which may turn out to be out of range."""
    return any(isinstance(atom, Loaded) for value in step.values for atom in index_atoms(value))
