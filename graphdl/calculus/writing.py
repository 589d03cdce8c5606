"""Writing values down: a formula for every tensor, names for those that deserve one."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from ..formula import (
    CONSTANT,
    TRANSPOSE,
    Differential,
    Equation,
    Formula,
    Fraction,
    Indexed,
    Name,
    Number,
    Stack,
    Superscript,
    label_name,
    rewritten,
    simplified,
)
from ..ir import Node, Tensor
from .derivation import Step
from .readers import Readers, assigned_name, is_unseen, line_of
from .recurrences import Recurrences

LONG = 40  # parts of a formula
_ONE_LINE = 48
_FEW = 8  # of δ, in what is told in one line
_NAMED = 3  # parts of what the user named
_WORTH_A_NAME = 4
_WORTH_A_STEP = 6
_WORTH_REPEATING = 10  # of what is no derivative, in a line of its own


class Writing:
    """Formulas and names given so far. `nodes` is the graph to be explained, `forward` what it was derived from."""

    def __init__(self, nodes: Sequence[Node], forward: Sequence[Node]) -> None:
        self.formulas: dict[Tensor, Formula] = {}
        self.taken: set[Name] = set()
        self.numbers: Counter[str] = Counter()
        self.numbering = itertools.count(1)
        self.deltas: dict[Name, Formula] = {}
        self.looping: set[Formula] = set()
        self.recurrences = Recurrences(self)
        self.rules: dict[Node, tuple[str, ...]] = {}
        self.readers = Readers(nodes, forward)
        loops = sum(node.op.recurrence is not None and not node.provenance.declared.is_derived for node in forward)
        self.letter = "v" if loops else "h"  # h is for what loops hold
        self.are_loops_numbered = loops > 1
        self.labels: dict[Node, Name] = {}
        labelled = [node for node in forward if _label(node)]
        self.repeated = _repeated(_label(node) for node in labelled)
        for node in labelled:
            self.labels[node] = self.unique(self._numbered(str(_label(node))))
        unlabelled = [node for node in forward if not _label(node) and self.readers.ends_a_line(node)]
        self.repeated |= _repeated(assigned_name(line_of(node)) for node in unlabelled)

    # -- forward ------------------------------------------------------------------------------------------------

    def write_forward(self, node: Node, is_end: bool) -> Iterator[Step]:
        """Give the results of `node` their formulas, and a line if they get a name."""
        if node.op.recurrence is not None:
            yield from self.recurrences.write(node, node.op.recurrence, [])
            return
        for tensor in node.outputs:
            written = self.formula(tensor)
            if node in self.labels:
                self.formulas[tensor] = self.labels[node]
            elif is_end or self._deserves_name(tensor, written):
                name = Name("L") if is_end and tensor.shape == () else self._forward_name(node, is_end)
                self.formulas[tensor] = self.unique(name)
                yield Step(Equation((self.formulas[tensor], written)), _shown(node).op.name, node, node.provenance.declared.source, tensor)

    def constants_first(self, steps: Sequence[Step]) -> list[Step]:
        """The lines with those in front that depend on no input, no state and no other line: they belong to no layer."""
        return sorted(steps, key=lambda step: step.loop is not None or any(map(_is_variable, step.formula.parts[-1].walk())))

    def formula(self, tensor: Tensor) -> Formula:
        node = tensor.node
        whole = node.op.formula(node, *(self.formulas[operand] for operand in node.operands))
        written: Formula = whole if len(node.outputs) == 1 else Indexed(whole, (Number(str(tensor.index)),))
        self.formulas[tensor] = written
        return written

    def _deserves_name(self, tensor: Tensor, written: Formula) -> bool:
        node, weight = tensor.node, _weight(written)
        if node in self.readers.noise:
            return node in self.readers.lasting
        if is_unseen(node) or not node.operands:
            return weight > LONG
        if weight >= _NAMED and node in self.readers.leaving and self.readers.ends_a_line(node) and assigned_name(line_of(node)):
            return True
        is_shared = self.readers.uses[tensor] > 1 or node in self.readers.leaving
        return weight > LONG or (weight >= _WORTH_A_NAME and is_shared) or (weight >= _NAMED and self.readers.uses[tensor] > 2)

    def is_worth_a_name(self, written: Formula, is_shared: bool) -> bool:
        """Whether a value inside of a loop gets a line."""
        weight = _weight(written)
        return weight > LONG or (is_shared and weight >= _WORTH_A_NAME)

    def _forward_name(self, node: Node, is_end: bool) -> Name:
        if node in self.readers.noise:
            return Name("ε", "1")
        if node.provenance.declared.is_derived:
            return Name("g", "1")
        assigned = assigned_name(line_of(node)) if is_end or self.readers.ends_a_line(node) else None
        if assigned is None:
            return Name(self.letter, "1")
        return self._numbered(assigned)

    def _numbered(self, label: str) -> Name:
        """The letter for a label or variable, numbered from 1 if there are several of it."""
        name = label_name(label)
        return Name(name.text, "1") if label in self.repeated and not name.subscript else name

    def unique(self, name: Name) -> Name:
        while name in self.taken:
            self.numbers[name.text] += 1
            name = Name(name.text, str(self.numbers[name.text]))
        self.taken.add(name)
        return name

    # -- derivatives --------------------------------------------------------------------------------------------

    def write_derived(self, node: Node, goals: AbstractSet[Tensor], end: Tensor | None) -> Iterator[Step]:
        """Give the results of a derived node their formulas, and a line to cotangents that are worth one and to the goal."""
        if node.op.recurrence is not None:
            yield from self.recurrences.write(node, node.op.recurrence, self._own_rules(node))
            yield from (self._named(tensor, end) for tensor in node.outputs if tensor in goals)
            return
        for tensor in node.outputs:
            written = self.formula(tensor)
            vanishes = any(written == self.formulas[operand] for operand in node.operands)
            self.rules[node] = self._own_rules(node, vanishes)
            by = self._cotangent_of(tensor, end)
            is_goal = tensor in goals
            if is_goal or (self._is_milestone(tensor, written, by) and not vanishes):
                yield self._step(tensor, written, by, end, is_goal)

    def _own_rules(self, node: Node, vanishes: bool = False) -> tuple[str, ...]:
        """The rules since the lines before: those of the operands that have no line, and its own."""
        inherited = dict.fromkeys(rule for operand in node.operands for rule in self.rules.get(operand.node, ()))
        own = [] if vanishes or not node.operands else sorted(node.provenance.declared.rules - inherited.keys())
        return (*inherited, *own)

    def _named(self, tensor: Tensor, end: Tensor | None) -> Step:
        """The line of a goal that a line before has computed."""
        by = self._cotangent_of(tensor, end)
        left = Name("derivative") if by is None else self.derivative(end, by)
        return Step(Equation((left, self.formulas[tensor])), "", tensor.node, tensor.node.provenance.declared.source, tensor)

    def put_in(self, step: Step) -> Formula | None:
        """A line with everything that has a δ put in; None if that is long, or no other than the line."""
        sides = step.formula.parts
        found = sides[-1]
        if len(self.deltas) > _FEW:
            return None
        for name, meaning in reversed(self.deltas.items()):
            found = rewritten(found, lambda x, name=name, meaning=meaning: meaning if x == name else None)  # type: ignore[misc]
            if sum(1 for _ in itertools.islice(found.walk(), _ONE_LINE + 1)) > _ONE_LINE:
                return None
        found = simplified(found)
        return None if found == sides[-1] or any(map(self._is_looping, found.walk())) else Equation((sides[0], found))

    def _is_looping(self, x: Formula) -> bool:
        """Whether it is a δ of one step of a loop."""
        return isinstance(x, Name) and Name(x.text, x.subscript.rpartition(",")[0]) in self.looping

    def _is_milestone(self, tensor: Tensor, written: Formula, by: Tensor | None) -> bool:
        weight, is_shared = _weight(written), self.readers.uses[tensor] > 1
        if by is None:
            return weight > LONG or (is_shared and weight >= _WORTH_REPEATING)
        known = self.formulas[by]
        if isinstance(known, Superscript) and known.above == TRANSPOSE:  # it is told of what was transposed
            return weight > LONG
        if not isinstance(known, Name):
            return weight >= _WORTH_A_STEP
        return weight >= (_NAMED if is_shared else _WORTH_A_NAME)

    def _step(self, tensor: Tensor, written: Formula, by: Tensor | None, end: Tensor | None, is_goal: bool) -> Step:
        node = tensor.node
        sides = [written] if by is None else [*(self.derivative(end, x) for x in (self._all_labelled(tensor, end, by) if is_goal else [by])), written]
        if not is_goal:
            self.formulas[tensor] = self.delta(written) if by is not None else self._intermediate(written)
            sides.insert(0, self.formulas[tensor])
        elif by is None:
            sides.insert(0, Name("derivative"))
        rule = ", ".join(self.rules[node])
        self.rules[node] = ()
        origins = [origin for origin in node.provenance.declared.origins if origin.number < node.number]
        forward = max(origins, key=lambda origin: origin.number, default=node)
        return Step(Equation(tuple(sides)), rule, forward, forward.provenance.declared.source, tensor)

    def delta(self, meaning: Formula | None = None) -> Name:
        """The next δ; it stands for `meaning`."""
        name = self.unique(Name("δ", str(next(self.numbering))))
        if meaning is not None:
            self.deltas[name] = meaning
        else:
            self.looping.add(name)
        return name

    def _intermediate(self, meaning: Formula) -> Name:
        """The name of what a derivative computes and is none itself, such as a forward value once more."""
        name = self.unique(Name("p", "1"))
        self.deltas[name] = meaning
        return name

    def _cotangent_of(self, tensor: Tensor, end: Tensor | None) -> Tensor | None:
        """The forward tensor whose cotangent this is: one with a name if there is one, else the last that was computed."""
        cotangents = tensor.node.provenance.declared.cotangents
        found = [by for index, of, by in cotangents if index == tensor.index and of is end and self._is_written(by)]
        return max(found, key=lambda by: (isinstance(self.formulas[by], Name), by.node.number), default=None)

    def _all_labelled(self, tensor: Tensor, end: Tensor | None, by: Tensor) -> list[Tensor]:
        """All that have a label and this derivative, as the biases of one sum do."""
        cotangents = tensor.node.provenance.declared.cotangents
        found = [x for index, of, x in cotangents if index == tensor.index and of is end and x.name and x in self.formulas]
        return sorted(found, key=lambda x: x.node.number) or [by]

    def _is_written(self, tensor: Tensor) -> bool:
        """Whether the tensor has the elements that its formula tells, and does not repeat them."""
        shown = tensor
        while is_unseen(shown.node):
            shown = shown.node.operands[0]
        return tensor in self.formulas and shown.size == tensor.size

    def derivative(self, end: Tensor | None, by: Tensor) -> Formula:
        """dL/dx"""
        of = Name("L") if end is None else self.formulas[end]
        return Fraction(Differential(of), Differential(self.formulas[by]))


def _is_variable(x: Formula) -> bool:
    return isinstance(x, (Name, Stack)) and x != CONSTANT


def _shown(node: Node) -> Node:
    """The node whose formula is that of `node`."""
    while is_unseen(node):
        node = node.operands[0].node
    return node


def _repeated(names: Iterable[str | None]) -> set[str]:
    return {name for name, count in Counter(names).items() if name is not None and count > 1}


def _label(node: Node) -> str | None:
    return node.output.name


def _weight(formula: Formula) -> int:
    """How many parts a formula has, up to somewhat more than a long one."""
    return sum(1 for x in itertools.islice(formula.walk(), 2 * LONG) if x != TRANSPOSE)
