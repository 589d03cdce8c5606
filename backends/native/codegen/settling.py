"""What a program computes from parameters alone, where those are promised to stay as they are: packed panels of weights, and weights in another order.

Such launches run once, before the first call, and what they write has memory of its own beside the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace

from graphdl.kernel.expression import Buffer
from graphdl.kernel.program import Program, reads_indices
from graphdl.lowering.memory import Interval
from graphdl.record import record
from graphdl.sizes import Dim, SymbolAtom, evaluate, symbols_of

from ..llvm import PTR, Value
from .entry import EntryWriter
from .launch import Item, Launch, Values

MANY = 1 << 20  # what unknown sizes are taken for


@record
class Settled:
    """The launches that run once, and the bytes of what they write."""

    launches: tuple[Launch, ...] = ()
    sizes: Mapping[Buffer, int] = field(default_factory=dict)

    def rest(self, items: Sequence[Item]) -> list[Item]:
        """What every call runs."""
        own = set(map(id, self.launches))
        return [item for item in items if id(item) not in own]

    @property
    def prelude(self) -> list[Launch]:
        """What runs once."""
        return [_once(launch) for launch in self.launches]

    def lives(self, lives: Sequence[Interval]) -> list[Interval]:
        """The temporaries of a call, none of which takes the place of what stays."""
        staying = self.sizes
        return [replace(one, replaces=None if one.replaces in staying else one.replaces) for one in lives if one.buffer not in staying]


class SettlingEntry(EntryWriter):
    """The function that runs the settled launches. It takes what `entry` takes, of which inputs, outputs, sizes and arena are not looked at."""

    name = "settle"

    def _address(self, buffer: Buffer) -> Value:
        return super()._address(buffer) if buffer in self.slots else PTR.const(0)


def settled(program: Program, items: Sequence[Item], lives: Sequence[Interval]) -> Settled:
    """All launches that read nothing but parameters and constants that the program does not write, and what such launches write."""
    sizes = {life.buffer: life.size for life in lives}
    written = {buffer.storage for item in items for buffer in _written(item)}
    fixed = {buffer.storage for buffer in (*program.parameters, *program.constants)} - written
    found = [item for item in items if isinstance(item, Launch) and _is_plain(item) and sizes.keys() >= set(_written(item))]
    while True:
        own = set(map(id, found))
        others = {buffer for item in items if id(item) not in own for buffer in _written(item)}
        known = fixed | {buffer for launch in found for buffer in _written(launch)} - others
        kept = [launch for launch in found if known.issuperset((*_read(launch), *_written(launch)))]
        if len(kept) == len(found):
            break
        found = kept
    buffers = dict.fromkeys(buffer for launch in found for buffer in _written(launch))
    return Settled(tuple(found), {buffer: _number(sizes[buffer]) for buffer in buffers})


def _written(item: Item) -> Iterator[Buffer]:
    """The storages that an item writes."""
    if isinstance(item, Launch) and item.packed:
        yield from (buffer for buffer, slot in item.arguments.buffers.items() if slot == item.packed)
    else:
        yield from dict.fromkeys(buffer.storage for buffer in item.step.written)


def _read(launch: Launch) -> Iterator[Buffer]:
    """The storages that a launch reads; one that computes its step may read whatever it takes as an argument."""
    own = set(_written(launch))
    for buffer, slot in launch.arguments.buffers.items():
        if slot in launch.sources if launch.packed else buffer not in own:
            yield buffer


def _is_plain(launch: Launch) -> bool:
    """Whether the launch checks no index, and is the same for all sizes. Of packing, whether it is needed at all may depend on them."""
    if launch.packed:
        return _number(launch.tasks) == _number(launch.tasks, 2 * MANY + 1) and not reads_indices(launch.step)
    symbols = (launch.values.get(SymbolAtom(name)) for name in launch.arguments.symbols)
    return all(isinstance(number, int) for number in (launch.tasks, launch.work, *symbols)) and not reads_indices(launch.step)


def _once(launch: Launch) -> Launch:
    """The launch where there are no sizes: as if all were large, so that everything that may be needed is packed."""
    symbols: Values = {SymbolAtom(name): _number(launch.values.get(SymbolAtom(name), MANY)) for name in launch.arguments.symbols}
    return replace(launch, tasks=_number(launch.tasks), work=_number(launch.work), values={**launch.values, **symbols})


def _number(size: Dim, unknown: int = MANY) -> int:
    return evaluate(size, dict.fromkeys(symbols_of(size), unknown))
