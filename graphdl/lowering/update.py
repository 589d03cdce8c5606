"""New values of parameters at the end of a program.

A value is computed straight into its parameter where nothing can tell the difference, else it is copied there last. As in the
interpreter all updates happen at once, and none of them if an index read from data is out of range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir import Tensor
from ..kernel.expression import Axis, Buffer, Guard, Load, Loaded, Reduce, index_atoms, walk
from ..kernel.program import Kernel, Program, read_buffers, reads_indices
from ..sizes import Atom, Dim, SymbolAtom, as_size, atoms_of, substitute

if TYPE_CHECKING:
    from ..program import CompiledGraph
    from .lower import Lowering

Copy = tuple[Buffer, Buffer, Tensor]


class Update:
    """The updates of one program under construction, whose steps so far compute all new values."""

    def __init__(self, lowering: Lowering, compiled: CompiledGraph) -> None:
        self.lowering, self.compiled = lowering, compiled
        self.program = lowering.program
        steps = self.program.steps
        self.writers: dict[Buffer, list[int]] = {}
        self.last_read: dict[Buffer, int] = {}
        for position, step in enumerate(steps):
            self.last_read.update(dict.fromkeys(read_buffers(step), position))
            for buffer in step.written:
                self.writers.setdefault(buffer.storage, []).append(position)
        given = (lowering.buffers[value].storage for value in compiled.new_values)
        self.last_read.update({storage: len(steps) for storage in given if storage.kind == "parameter"})  # copied at the end
        self.last_check = max((position for position, step in enumerate(steps) if reads_indices(step)), default=-1)
        self.may_wait = [all(self.last_read.get(b.storage, -1) <= position for b in step.written) for position, step in enumerate(steps)]
        self.early: set[int] = set()  # steps that write parameters, before all indices are checked

    def write(self) -> None:
        compiled = self.compiled
        pending = [copy for pair in zip(compiled.updated, compiled.new_values, strict=True) for copy in self._replace(*pair)]
        self._move_behind_checks()
        self._copy(pending)

    def _replace(self, parameter: Tensor, value: Tensor) -> list[Copy]:
        """Let `value` be computed into `parameter`, or return the copy that is needed instead."""
        target, source = self._parameter(parameter), self.lowering.buffers[value]
        if source.storage is target.storage:
            return []
        is_own = source.storage in self.program.temporaries and source.is_whole
        if self.lowering.updates_last or not is_own or not self._may_replace(source.storage, target.storage):
            return [(source, target, value)]
        self.lowering.become(source.storage, target)
        return []

    def _parameter(self, parameter: Tensor) -> Buffer:
        known = self.lowering.buffers.get(parameter)
        if known is not None:
            return known
        placed = self.lowering.place(parameter, str(parameter.name), "parameter")
        self.program.parameters.append(placed)
        return placed

    def _may_replace(self, new: Buffer, old: Buffer) -> bool:
        """Whether the only step that writes `new` may write over `old`: a kernel that reads `old` at most at the element it
        writes, with nothing after it that reads `old`, and no index to check in it, or after it unless it may wait."""
        (position, *others) = self.writers[new]
        step = self.program.steps[position]
        if others or self.last_read.get(old, -1) > position or old in self.writers:
            return False
        if not isinstance(step, Kernel) or reads_indices(step) or not reads_only_in_place(step, new, old):
            return False
        if position < self.last_check:
            if not self.may_wait[position]:
                return False
            self.early.add(position)
        return True

    def _move_behind_checks(self) -> None:
        """Steps that write parameters run only after the last index was found to be in range."""
        steps, behind = self.program.steps, self.last_check + 1
        first = [step for position, step in enumerate(steps[:behind]) if position not in self.early]
        steps[:] = [*first, *(steps[position] for position in sorted(self.early)), *steps[behind:]]

    def _copy(self, pending: Sequence[Copy]) -> None:
        """Copies at the end. A source that is itself an updated parameter is saved first."""
        targets = {target.storage for _, target, _ in pending}
        saved = []
        for source, target, value in pending:
            if source.storage in targets or source.kind == "parameter":
                kept = self.lowering.temporary(source.type)
                self.lowering.copy(source, kept, [value.node])
                source = kept
            saved.append((source, target, value))
        for source, target, value in saved:
            self.lowering.copy(source, target, [value.node])


def writes_before_checks(program: Program) -> bool:
    """Whether a parameter would be changed before an index is found to be out of range, in the same step or a later one.

    Indices that an earlier step has read as well were found to be in range by then.
    """
    checked: set[object] = set()
    has_written = False
    for step in program.steps:
        has_written = has_written or any(buffer.storage.kind == "parameter" for buffer in step.written)
        found = {_checked_by(atom) for value in step.values for atom in index_atoms(value) if isinstance(atom, Loaded)}
        if has_written and not found <= checked:
            return True
        if not any(isinstance(x, Guard) for x in walk(*step.values)):  # where a guard is off, nothing is checked
            checked |= found - {None}
    return False


def _checked_by(index: Loaded) -> object:
    """What elements of which buffer an index from data goes through; equal answers mean the same ones. None where it is no plain load."""
    value = index.value
    if not isinstance(value, Load) or any(isinstance(atom, Loaded) for atom in index_atoms(value)):
        return None
    axes = dict.fromkeys(atom for part in value.index for atom in atoms_of(part) if isinstance(atom, Axis))
    ranges: dict[Atom, Dim] = {axis: as_size(SymbolAtom(f"{k} below {axis.size}")) for k, axis in enumerate(axes)}
    return index.site, index.size, value.buffer.storage, tuple(substitute(part, ranges) for part in value.index)


def reads_only_in_place(kernel: Kernel, new: Buffer, old: Buffer) -> bool:
    """Whether every read of `old` is at the index where `new` is written, by stores of the same axes, outside of any reduction.

    The first to read it must not come after the store that writes `new`.
    """
    place = next(k for k, store in enumerate(kernel.stores) if store.buffer.storage is new)
    store = kernel.stores[place]
    readers = [k for k, other in enumerate(kernel.stores) if any(isinstance(x, Load) and x.buffer.storage is old for x in walk(other.value))]
    if readers and readers[0] > place:
        return False
    for other in kernel.stores:
        for x in walk(other.value):
            if isinstance(x, Load) and x.buffer.storage is old:
                same = x.index == store.index and x.buffer.type.shape == store.buffer.type.shape and x.buffer.is_whole
                if not same or other.axes != store.axes:
                    return False
            elif isinstance(x, Reduce) and any(isinstance(y, Load) and y.buffer.storage is old for y in walk(x)):
                return False
    return True
