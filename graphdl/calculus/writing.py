"""Writing values down: a formula for every tensor, names for those that deserve one."""

from __future__ import annotations

import itertools
import linecache
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from ..formula import Differential, Equation, Formula, Fraction, Indexed, Name, Number, label_name, rewritten
from ..ir import Node, Source, Tensor
from .derivation import Step
from .recurrences import Recurrences

LONG = 40  # parts of a formula
_ONE_LINE = 48
_FEW = 8  # of δ, in what is told in one line
_NAMED = 3  # parts of what the user named
_WORTH_A_NAME = 4
_WORTH_A_STEP = 6
_ASSIGNED = re.compile(r"\s*(\w+)\s*(?::[^=]+)?=(?!=)")


def assigned_name(source: Source | None) -> str | None:
    """The variable that the user's line assigns to, if the file is still there and says so."""
    found = _ASSIGNED.match(linecache.getline(source.file, source.line)) if source else None
    return found[1] if found else None


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
        everything = dict.fromkeys((*forward, *nodes))
        self.uses = Counter(operand for node in everything for operand in node.operands)
        self.leaving = _leaving(forward)
        self.ends_of_line = {(_line(node), node.op) for node in self.leaving}
        labels = [_label(node) for node in forward if _label(node)]
        variables = [assigned_name(_line(node)) for node in forward if not _label(node) and self._ends_a_line(node)]
        self.repeated = {name for names in (labels, variables) for name, count in Counter(names).items() if count > 1}

    def _ends_a_line(self, node: Node) -> bool:
        """Whether the node is what its line computes: read by other lines, or like such a node (in a loop)."""
        return node in self.leaving or (not node.provenance.modules and (_line(node), node.op) in self.ends_of_line)

    # -- forward ------------------------------------------------------------------------------------------------

    def write_forward(self, node: Node, is_end: bool) -> Iterator[Step]:
        """Give the results of `node` their formulas, and a line if they get a name."""
        if node.op.recurrence is not None:
            yield from self.recurrences.write(node, node.op.recurrence, [])
            return
        for tensor in node.outputs:
            written = self.formula(tensor)
            label = _label(node)
            if label is not None:
                self.formulas[tensor] = self.unique(self._numbered(label))
            elif is_end or self._deserves_name(tensor, written):
                name = Name("L") if is_end and tensor.shape == () else self._forward_name(node, is_end)
                self.formulas[tensor] = self.unique(name)
                yield Step(Equation((self.formulas[tensor], written)), node.op.name, node, node.provenance.source, tensor)

    def formula(self, tensor: Tensor) -> Formula:
        node = tensor.node
        whole = node.op.formula(node, *(self.formulas[operand] for operand in node.operands))
        written: Formula = whole if len(node.outputs) == 1 else Indexed(whole, (Number(str(tensor.index)),))
        self.formulas[tensor] = written
        return written

    def _deserves_name(self, tensor: Tensor, written: Formula) -> bool:
        weight = _weight(written)
        if not tensor.node.provenance.modules and tensor.node in self.leaving and weight >= _NAMED and assigned_name(_line(tensor.node)):
            return True
        if weight < _WORTH_A_NAME or any(written == self.formulas[operand] for operand in tensor.node.operands):
            return weight > LONG
        return weight > LONG or self.uses[tensor] > 1 or tensor.node in self.leaving

    def is_worth_a_name(self, written: Formula, is_shared: bool) -> bool:
        """Whether a value inside of a loop gets a line."""
        weight = _weight(written)
        return weight > LONG or (is_shared and weight >= _WORTH_A_NAME)

    def _forward_name(self, node: Node, is_end: bool) -> Name:
        if node.provenance.is_derived:
            return Name("g", "1")
        assigned = assigned_name(_line(node)) if is_end or self._ends_a_line(node) else None
        if assigned is None:
            return Name("h", "1")
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
        own = [] if vanishes or not node.operands else sorted(node.provenance.rules - inherited.keys())
        return (*inherited, *own)

    def _named(self, tensor: Tensor, end: Tensor | None) -> Step:
        """The line of a goal that a line before has computed."""
        by = self._cotangent_of(tensor, end)
        left = Name("derivative") if by is None else self.derivative(end, by)
        return Step(Equation((left, self.formulas[tensor])), "", tensor.node, tensor.node.provenance.source, tensor)

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
        return None if found == sides[-1] or any(map(self._is_looping, found.walk())) else Equation((sides[0], found))

    def _is_looping(self, x: Formula) -> bool:
        """Whether it is a δ of one step of a loop."""
        return isinstance(x, Name) and Name(x.text, x.subscript.rpartition(",")[0]) in self.looping

    def _is_milestone(self, tensor: Tensor, written: Formula, by: Tensor | None) -> bool:
        weight = _weight(written)
        if weight > LONG or by is None:
            return weight > LONG
        return weight >= (_WORTH_A_NAME if isinstance(self.formulas[by], Name) else _WORTH_A_STEP)

    def _step(self, tensor: Tensor, written: Formula, by: Tensor | None, end: Tensor | None, is_goal: bool) -> Step:
        node = tensor.node
        sides = [written] if by is None else [*(self.derivative(end, x) for x in (self._all_labelled(tensor, end, by) if is_goal else [by])), written]
        if not is_goal:
            self.formulas[tensor] = self.delta(written)
            sides.insert(0, self.formulas[tensor])
        elif by is None:
            sides.insert(0, Name("derivative"))
        rule = ", ".join(self.rules[node])
        self.rules[node] = ()
        forward = max((origin for origin in node.provenance.origins if origin.number < node.number), key=lambda origin: origin.number, default=node)
        return Step(Equation(tuple(sides)), rule, forward, forward.provenance.source, tensor)

    def delta(self, meaning: Formula | None = None) -> Name:
        """The next δ; it stands for `meaning`."""
        name = self.unique(Name("δ", str(next(self.numbering))))
        if meaning is not None:
            self.deltas[name] = meaning
        else:
            self.looping.add(name)
        return name

    def _cotangent_of(self, tensor: Tensor, end: Tensor | None) -> Tensor | None:
        """The forward tensor whose cotangent this is: one with a name if there is one, else the last that was computed."""
        found = [by for index, of, by in tensor.node.provenance.cotangents if index == tensor.index and of is end and self._is_written(by)]
        return max(found, key=lambda by: (isinstance(self.formulas[by], Name), by.node.number), default=None)

    def _all_labelled(self, tensor: Tensor, end: Tensor | None, by: Tensor) -> list[Tensor]:
        """All that have a label and this derivative, as the biases of one sum do."""
        found = [x for index, of, x in tensor.node.provenance.cotangents if index == tensor.index and of is end and x.name and x in self.formulas]
        return sorted(found, key=lambda x: x.node.number) or [by]

    def _is_written(self, tensor: Tensor) -> bool:
        """Whether the tensor has a formula of its own, not that of what it repeats or reshapes."""
        return tensor in self.formulas and not any(self.formulas[tensor] == self.formulas[operand] for operand in tensor.node.operands)

    def derivative(self, end: Tensor | None, by: Tensor) -> Formula:
        """dL/dx"""
        of = Name("L") if end is None else self.formulas[end]
        return Fraction(Differential(of), Differential(self.formulas[by]))


def _leaving(forward: Sequence[Node]) -> set[Node]:
    """The nodes that other lines than their own read. Numbers and inputs are not: equal ones anywhere are one node, of many lines."""
    read = ((operand.node, node) for node in forward for operand in node.operands)
    return {node for node, reader in read if node.operands and _line(node) != _line(reader)}


def _label(node: Node) -> str | None:
    return node.output.name


def _line(node: Node) -> Source | None:
    return node.provenance.source


def _weight(formula: Formula) -> int:
    return sum(1 for _ in itertools.islice(formula.walk(), LONG + 2))
