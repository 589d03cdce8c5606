"""Which steps may be the first to find an index out of range: an embedding's gradient finds nothing that the embedding has not found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..kernel.expression import Axis, Buffer, Expr, Guard, Load, Loaded, Scalar, axes_of, index_atoms, walk
from ..kernel.program import Control, Program, Step
from ..sizes import Atom, Dim, SymbolAtom, as_size, substitute


def last_check(steps: Sequence[Step]) -> int:
    """The position of the last step that may be the first to find an index out of range; -1 if none may."""
    known: set[object] = set()
    last = -1
    for position, step in enumerate(steps):
        found = {atom for value in step.values for atom in index_atoms(value) if isinstance(atom, Loaded)}
        if any(known.isdisjoint(_subjects(atom)) for atom in found):
            last = position
        known.update(_settled(step, found))
    return last


def writes_before_checks(program: Program) -> bool:
    """Whether a parameter would be changed before an index is found to be out of range, in the same step or a later one."""
    early = program.steps[: last_check(program.steps) + 1]
    return any(buffer.storage.kind == "parameter" for step in early for buffer in step.written)


def _subjects(atom: Loaded) -> Iterator[object]:
    """What was checked if the index was: some elements of an input, and before that all of them."""
    read = _read(atom.value)
    if read is None or any(isinstance(one, Loaded) for one in index_atoms(read)):
        return
    if read.buffer.storage.kind == "input":
        yield _all_of(read.buffer, atom.size), atom.wraps
    yield _elements(read, atom.size), atom.wraps


def _settled(step: Step, found: set[Loaded]) -> Iterator[object]:
    """What a step checks of inputs and other memory. Where a guard is off, or in loops, nothing may be checked."""
    if isinstance(step, Control) or any(isinstance(x, Guard) for x in walk(*step.values)):
        return
    for atom in found:
        read = _read(atom.value)
        for wraps in {atom.wraps, True}:
            if read is not None:
                yield _elements(read, atom.size), wraps
            if read is not None and _reads_all(read, step.axes):
                yield _all_of(read.buffer, atom.size), wraps


def _read(x: Expr) -> Load | None:
    """The load that an index is, under conversions."""
    while isinstance(x, Scalar) and x.function == "cast":
        (x,) = x.operands
    return x if isinstance(x, Load) else None


def _all_of(buffer: Buffer, size: Dim) -> object:
    return buffer.storage, size


def _elements(read: Load, size: Dim) -> object:
    """Equal for loads that go through the same elements."""
    axes = dict.fromkeys(axis for part in read.index for axis in sorted(axes_of(part), key=lambda one: one.key))
    ranges: dict[Atom, Dim] = {axis: as_size(SymbolAtom(f"{k} below {axis.size}")) for k, axis in enumerate(axes)}
    return size, read.buffer.storage, tuple(substitute(part, ranges) for part in read.index)


def _reads_all(read: Load, domain: Sequence[Axis]) -> bool:
    """Whether a load at all points of the domain reads every element, and the domain has points whatever the sizes are."""
    places = {as_size(axis): axis for axis in domain}
    own = [places.get(part) if not isinstance(part, int) else None for part in read.index]
    if not read.buffer.is_whole or None in own or len(set(own)) != len(own):
        return False
    fits = all(axis is not None and axis.size == size for axis, size in zip(own, read.buffer.type.shape, strict=True))
    return fits and all(isinstance(axis.size, int) and axis.size > 0 for axis in domain if axis not in own)
