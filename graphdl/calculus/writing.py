"""Writing values down: a formula for every tensor, names for those that deserve one."""

from __future__ import annotations

import itertools
import linecache
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ..formula import Differential, Equation, Formula, Fraction, Indexed, Name, Number, label_name
from ..ir import Node, Source, Tensor
from .derivation import Step

LONG = 40  # parts of a formula
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
        self.deltas = itertools.count(1)
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
        for tensor in node.outputs:
            written = self._formula(tensor)
            label = _label(node)
            if label is not None:
                self.formulas[tensor] = self._unique(self._numbered(label))
            elif is_end or self._deserves_name(tensor, written):
                name = Name("L") if is_end and tensor.shape == () else self._forward_name(node)
                self.formulas[tensor] = self._unique(name)
                yield Step(Equation((self.formulas[tensor], written)), node.op.name, node, node.provenance.source, tensor)

    def _formula(self, tensor: Tensor) -> Formula:
        node = tensor.node
        whole = node.op.formula(node, *(self.formulas[operand] for operand in node.operands))
        written: Formula = whole if len(node.outputs) == 1 else Indexed(whole, (Number(str(tensor.index)),))
        self.formulas[tensor] = written
        return written

    def _deserves_name(self, tensor: Tensor, written: Formula) -> bool:
        weight = _weight(written)
        if weight < _WORTH_A_NAME or any(written == self.formulas[operand] for operand in tensor.node.operands):
            return weight > LONG
        return weight > LONG or self.uses[tensor] > 1 or tensor.node in self.leaving

    def _forward_name(self, node: Node) -> Name:
        if node.provenance.is_derived:
            return Name("g", "1")
        assigned = assigned_name(_line(node)) if self._ends_a_line(node) else None
        if assigned is None:
            return Name("h", "1")
        return self._numbered(assigned)

    def _numbered(self, label: str) -> Name:
        """The letter for a label or variable, numbered from 1 if there are several of it."""
        name = label_name(label)
        return Name(name.text, "1") if label in self.repeated and not name.subscript else name

    def _unique(self, name: Name) -> Name:
        while name in self.taken:
            self.numbers[name.text] += 1
            name = Name(name.text, str(self.numbers[name.text]))
        self.taken.add(name)
        return name

    # -- derivatives --------------------------------------------------------------------------------------------

    def write_derived(self, node: Node, goal: Tensor, end: Tensor | None) -> Iterator[Step]:
        """Give the results of a derived node their formulas, and a line to cotangents that are worth one and to the goal."""
        for tensor in node.outputs:
            written = self._formula(tensor)
            vanishes = any(written == self.formulas[operand] for operand in node.operands)
            inherited = dict.fromkeys(rule for operand in node.operands for rule in self.rules.get(operand.node, ()))
            own = [] if vanishes or not node.operands else sorted(node.provenance.rules - inherited.keys())
            self.rules[node] = (*inherited, *own)
            by = self._cotangent_of(tensor, end)
            if tensor is goal or (self._is_milestone(tensor, written, by) and not vanishes):
                yield self._step(tensor, written, by, end, tensor is goal)

    def _is_milestone(self, tensor: Tensor, written: Formula, by: Tensor | None) -> bool:
        weight = _weight(written)
        if weight > LONG or by is None:
            return weight > LONG
        return weight >= (_WORTH_A_NAME if isinstance(self.formulas[by], Name) else _WORTH_A_STEP)

    def _step(self, tensor: Tensor, written: Formula, by: Tensor | None, end: Tensor | None, is_goal: bool) -> Step:
        node = tensor.node
        sides = [written] if by is None else [self.derivative(end, by), written]
        if not is_goal:
            self.formulas[tensor] = self._unique(Name("δ", str(next(self.deltas))))
            sides.insert(0, self.formulas[tensor])
        elif by is None:
            sides.insert(0, Name("derivative"))
        rule = ", ".join(self.rules[node])
        self.rules[node] = ()
        forward = max((origin for origin in node.provenance.origins if origin.number < node.number), key=lambda origin: origin.number, default=node)
        return Step(Equation(tuple(sides)), rule, forward, forward.provenance.source, tensor)

    def _cotangent_of(self, tensor: Tensor, end: Tensor | None) -> Tensor | None:
        """The forward tensor whose cotangent this is: one with a name if there is one, else the last that was computed."""
        found = [by for index, of, by in tensor.node.provenance.cotangents if index == tensor.index and of is end and self._is_written(by)]
        return max(found, key=lambda by: (isinstance(self.formulas[by], Name), by.node.number), default=None)

    def _is_written(self, tensor: Tensor) -> bool:
        """Whether the tensor has a formula of its own, not that of what it repeats or reshapes."""
        return tensor in self.formulas and not any(self.formulas[tensor] == self.formulas[operand] for operand in tensor.node.operands)

    def derivative(self, end: Tensor | None, by: Tensor) -> Formula:
        """dL/dx"""
        of = Name("L") if end is None else self.formulas[end]
        return Fraction(Differential(of), Differential(self.formulas[by]))


def _leaving(forward: Sequence[Node]) -> set[Node]:
    """The nodes that other lines than their own read."""
    return {operand.node for node in forward for operand in node.operands if _line(operand.node) != _line(node)}


def _label(node: Node) -> str | None:
    return node.output.name


def _line(node: Node) -> Source | None:
    return node.provenance.source


def _weight(formula: Formula) -> int:
    return sum(1 for _ in itertools.islice(formula.walk(), LONG + 2))
