"""Writing loops down: one step of the body, with the index t."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..formula import TIME, Equation, Formula, Indexed, Name, at, stack, subscripted
from ..ir import Node, Tensor
from ..ir.recurrence import Recurrence
from ..kernel.expression import Axis
from ..kernel.reading import Reading, reading_of
from ..sizes import Dim, as_size, atoms_of
from ..types import Shape
from .derivation import Loop, Step

if TYPE_CHECKING:
    from .writing import Writing

_LETTERS = ("h", "c", "s", "u")


class Recurrences:
    """The loops among the nodes that a `Writing` writes."""

    def __init__(self, writing: Writing) -> None:
        self.writing = writing

    def write(self, node: Node, told: Recurrence, rules: Sequence[str]) -> Iterator[Step]:
        """Lines for one step of the body, and formulas for the node's results."""
        return _Writer(self.writing, node, told, rules).write()


class _Writer:
    def __init__(self, writing: Writing, node: Node, told: Recurrence, rules: Sequence[str]) -> None:
        self.writing, self.node, self.told, self.rules = writing, node, told, rules
        self.formulas = writing.formulas
        self.is_derived = node.provenance.declared.is_derived
        self.named: set[Tensor] = set()
        carries, first = told.carries, told.carries + told.sequences
        self.inits = [self.formulas[x] for x in node.operands[:carries]]
        self.letters = [self._letter(k, init) for k, init in enumerate(self.inits)]
        for tensor, operand in zip(told.body.inputs[carries:first], node.operands[carries:first], strict=True):
            self.formulas[tensor] = element(operand, 0, self.formulas)
        for tensor, operand in zip(told.body.inputs[first:], node.operands[first:], strict=True):
            self.formulas[tensor] = self.formulas[operand]

    def _letter(self, position: int, init: Formula) -> Name:
        if self.told.body.inputs[position] in self.formulas:  # a loop that was told already, with more results
            return Name("")
        if self.is_derived:
            return self.writing.delta()
        if isinstance(init, Name) and init.subscript == "0":
            return Name(init.text)
        letter = Name(_LETTERS[position] if position < len(_LETTERS) else "h")
        self.writing.repeated.add(letter.text)
        return self.writing.unique(Name(letter.text, "1") if self.writing.are_loops_numbered else letter)

    def write(self) -> Iterator[Step]:
        steps = list(self._body())
        starts = tuple(
            Equation((subscripted(letter, self._before), init))
            for letter, init in zip(self.letters, self.inits, strict=True)
            if letter.text and subscripted(letter, self._before) != init
        )
        loop = Loop(TIME, self._range(), starts)
        yield from (Step(step.formula, step.rule, step.forward, step.source, step.tensor, loop) for step in steps)
        carries = self.told.carries
        for k, tensor in enumerate(self.node.outputs):
            if k >= carries:
                self.formulas[tensor] = stack(self.formulas[self.told.body.outputs[k]])
            else:
                self.formulas[tensor] = subscripted(self.letters[k], self._last) if self.letters[k].text else self._known(k)

    def _known(self, carry: int) -> Formula:
        """The last value of a carry whose loop was told before."""
        following = self.formulas[self.told.body.outputs[carry]]
        return Name(following.text, following.subscript[: -len(TIME)] + self._last) if isinstance(following, Name) else following

    @property
    def _before(self) -> str:
        return str(self.told.length + 1).replace(" ", "") if self.told.reverse else "0"

    @property
    def _last(self) -> str:
        return "1" if self.told.reverse else str(self.told.length)

    def _range(self) -> tuple[str, ...]:
        length = str(self.told.length)
        if length == "1":
            return ("1",)
        return (length, "…", "1") if self.told.reverse else ("1", "…", length)

    def _body(self) -> Iterator[Step]:
        body, carries = self.told.body, self.told.carries
        for letter, tensor in zip(self.letters, body.inputs, strict=False):
            if letter.text:
                self.formulas[tensor] = subscripted(letter, f"{TIME}+1" if self.told.reverse else f"{TIME}−1")
        names = {body.outputs[k]: subscripted(letter, TIME) for k, letter in enumerate(self.letters) if letter.text}
        uses = Counter([*(x for node in body.nodes for x in node.operands), *body.outputs[carries:]])
        for node in body.nodes:
            if node.op.recurrence is not None and node.output not in self.formulas:
                yield from Recurrences(self.writing).write(node, node.op.recurrence, self.rules)
            for tensor in node.outputs:
                if tensor not in self.formulas:
                    yield from self._tensor(tensor, names.get(tensor), uses[tensor] > 1)
        for tensor, name in names.items():  # a carry that is an input of the body
            if self.formulas[tensor] != name:
                yield self._step(name, self.formulas[tensor], tensor)

    def _tensor(self, tensor: Tensor, name: Name | None, is_shared: bool) -> Iterator[Step]:
        written = self.writing.formula(tensor)
        if name is None and self.writing.is_worth_a_name(written, is_shared) and tensor.node.operands:
            letter = self.writing.delta() if self.is_derived else self.writing.unique(Name("a", "1"))
            name = subscripted(letter, TIME)
        if name is not None:
            self.formulas[tensor] = name
            yield self._step(name, written, tensor)

    def _step(self, name: Name, written: Formula, tensor: Tensor) -> Step:
        self.named.add(tensor)
        forward = max((x for x in tensor.node.provenance.declared.origins if x.number < tensor.node.number), key=lambda x: x.number, default=self.node)
        rule = ", ".join(self._rules(tensor) or self.rules) or tensor.node.op.name
        return Step(Equation((name, written)), rule, forward, tensor.node.provenance.declared.source or self.node.provenance.declared.source, tensor)

    def _rules(self, tensor: Tensor) -> list[str]:
        """The rules that made what a line writes out, down to the values that have names."""
        rules: set[str] = set()
        seen: set[Tensor] = set()
        stack = [tensor]
        while stack:
            one = stack.pop()
            if one in seen or not one.node.operands or (one in self.named and one is not tensor):
                continue
            seen.add(one)
            rules |= one.node.provenance.declared.rules
            stack += one.node.operands
        return sorted(rules)


def element(tensor: Tensor, axis: int, formulas: dict[Tensor, Formula]) -> Formula:
    """The formula of the part of `tensor` at t along `axis`, pushed into what it was computed from while that has no name."""
    known, node = formulas[tensor], tensor.node
    if isinstance(known, Name) or node.op.pattern in ("opaque", "fusion") or not node.operands:
        return at(known, axis=axis) if node.operands or isinstance(known, Name) else known
    reading = reading_of(node)
    step = reading.axes[axis]
    parts: list[Formula] = []
    for position, operand in enumerate(node.operands):
        found = {_place(index, step) for k, index in reading.reads if k == position}
        if len(found) != 1 or -1 in found:
            return at(known, axis=axis)
        place = next(iter(found))
        parts.append(formulas[operand] if place is None else element(operand, place, formulas))
    if reading.is_movement and _is_whole(reading, step, node.operands[0].shape):
        return parts[0]
    if reading.is_movement and node.op.pattern == "injective" and parts[0] != formulas[node.operands[0]]:
        return at(known, axis=axis)
    written: Formula = node.op.formula(node, *parts)
    return written if len(node.outputs) == 1 else Indexed(written, (Name(str(tensor.index)),))


def _is_whole(reading: Reading, step: Axis, shape: Shape) -> bool:
    """Whether one operand is read once, at the node's own places without `step`, and nothing is cut off its other axes."""
    rest = [x for x in reading.axes if x is not step]
    read = [[(part, size) for part, size in zip(index, shape, strict=True) if step not in atoms_of(part)] for _, index in reading.reads]
    return read == [[(as_size(axis), axis.size) for axis in rest]]


def _place(index: Sequence[Dim], step: Axis) -> int | None:
    """Where in `index` the axis `step` stands alone; None if nowhere, -1 if it is part of more."""
    found = [k for k, part in enumerate(index) if step in atoms_of(part)]
    if not found:
        return None
    return found[0] if len(found) == 1 and index[found[0]] == as_size(step) else -1
