"""Which steps may still find an index out of range: where all of an input was checked before, as by an embedding, its gradient finds nothing new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..kernel.expression import Axis, Buffer, Expr, Guard, Load, Loaded, Scalar, index_atoms, walk
from ..kernel.program import Control, Step
from ..sizes import Dim, as_size

Checked = tuple[Buffer, Dim]  # an input, and the size that its elements are indices for


def last_check(steps: Sequence[Step]) -> int:
    """The position of the last step that may be the first to find an index out of range; -1 if none may."""
    known: set[Checked] = set()
    last = -1
    for position, step in enumerate(steps):
        found = {atom for value in step.values for atom in index_atoms(value) if isinstance(atom, Loaded)}
        if any(_subject(atom) not in known for atom in found):
            last = position
        known.update(_settled(step, found))
    return last


def _subject(atom: Loaded) -> Checked | None:
    """Of what input's elements an index is one."""
    read = _read(atom.value)
    return (read.buffer.storage, atom.size) if read is not None and read.buffer.storage.kind == "input" else None


def _read(x: Expr) -> Load | None:
    while isinstance(x, Scalar) and x.function == "cast":
        (x,) = x.operands
    return x if isinstance(x, Load) else None


def _settled(step: Step, found: set[Loaded]) -> Iterator[Checked]:
    """The inputs all of whose elements a step checks."""
    if isinstance(step, Control) or any(isinstance(x, Guard) for x in walk(*step.values)):
        return
    for atom in found:
        subject, read = _subject(atom), _read(atom.value)
        if subject is not None and read is not None and _reads_all(read, step.axes if hasattr(step, "axes") else ()):
            yield subject


def _reads_all(read: Load, domain: Sequence[Axis]) -> bool:
    """Whether a load at all points of the domain reads every element, and the domain has points whatever the sizes are."""
    places = {as_size(axis): axis for axis in domain}
    own = [places.get(part) if not isinstance(part, int) else None for part in read.index]
    if not read.buffer.is_whole or None in own or len(set(own)) != len(own):
        return False
    fits = all(axis is not None and axis.size == size for axis, size in zip(own, read.buffer.type.shape, strict=True))
    return fits and all(isinstance(axis.size, int) and axis.size > 0 for axis in domain if axis not in own)
