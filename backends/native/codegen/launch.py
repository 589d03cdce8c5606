"""What an entry runs: launches of kernel functions, and the loops and branches around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field

from graphdl.kernel.expression import Buffer
from graphdl.kernel.program import Branch, Kernel, Loop, Step, While, reads_indices
from graphdl.record import record
from graphdl.sizes import Atom, Dim

from .function import Arguments

Values = dict[Atom, Dim]


@record
class Launch:
    """One call of a kernel function: over `tasks` tasks, by all threads if `work` is worth it; `times` in a run, as far as is known.

    It computes `step`, or the `part` of it, or only packs an operand of it: then `packed` is the slot of what it writes, and `sources` are those of
    what it reads.
    """

    function: str
    arguments: Arguments
    tasks: Dim
    work: Dim
    step: Step
    values: Values  # numbers that the function takes as arguments
    times: Dim = 1
    schedule: str = ""  # who chose how a product is cut
    part: Kernel | None = None
    packed: int = 0
    sources: frozenset[int] = frozenset()


@record
class Repetition:
    """The launches of a loop. With `check` it ends the program after a step in which an index was out of range."""

    step: Loop
    body: list[Item] = field(default_factory=list)

    @property
    def check(self) -> bool:
        return reads_indices(self.step)


@record
class Choice:
    """The launches of both sides of a branch."""

    step: Branch
    then: list[Item] = field(default_factory=list)
    otherwise: list[Item] = field(default_factory=list)


@record
class Waiting:
    """The launches of a loop with a condition."""

    step: While
    condition: list[Item] = field(default_factory=list)
    body: list[Item] = field(default_factory=list)


Item = Launch | Repetition | Choice | Waiting


def parts_of(item: Item) -> tuple[list[Item], ...]:
    """The lists of items inside an item."""
    if isinstance(item, Launch):
        return ()
    if isinstance(item, Repetition):
        return (item.body,)
    return (item.then, item.otherwise) if isinstance(item, Choice) else (item.condition, item.body)


def launches_of(items: Sequence[Item]) -> Iterator[Launch]:
    """Every launch, in the order of the text."""
    for item in items:
        if isinstance(item, Launch):
            yield item
        for part in parts_of(item):
            yield from launches_of(part)


def writes(item: Item, buffers: set[Buffer]) -> bool:
    """Whether an item writes one of these storages."""
    return any(buffer.storage in buffers for buffer in item.step.written)
