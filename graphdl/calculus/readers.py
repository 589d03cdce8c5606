"""Who reads which values: seen through nodes that formulas do not show, such as reshapes."""

from __future__ import annotations

import linecache
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ..formula import Formula, Name
from ..ir import Node, Source, Tensor

_ASSIGNED = re.compile(r"\s*(\w+)\s*(?::[^=]+)?=(?!=)")
_ANY = Name("•")


def assigned_name(source: Source | None) -> str | None:
    """The variable that the user's line assigns to, if the file is still there and says so."""
    found = _ASSIGNED.match(linecache.getline(source.file, source.line)) if source else None
    return found[1] if found else None


class Readers:
    """The readers of all values of `nodes` and `forward`, operands first. `uses` counts them; `leaving` are the nodes that other lines read.

    Numbers and inputs do not leave a line: equal ones anywhere are one node, of many lines.
    """

    def __init__(self, nodes: Sequence[Node], forward: Sequence[Node]) -> None:
        self.uses: Counter[Tensor] = Counter()
        lines: dict[Tensor, set[Source | None]] = {}
        inside = set(forward)
        for node in reversed(dict.fromkeys((*forward, *nodes))):
            is_seen = not is_unseen(node)
            for operand in node.operands:
                self.uses[operand] += 1 if is_seen else self.uses[node.output]
                known = lines.setdefault(operand, set())
                if node in inside:
                    known |= {line_of(node)} if is_seen else lines.get(node.output, set())
        self.leaving = {x.node for x, found in lines.items() if x.node.operands and x.node in inside and found - {line_of(x.node)}}
        self.noise = _noise(nodes)
        self.lasting = {operand.node for node in nodes if node not in self.noise for operand in node.operands} & self.noise
        ends = [node for node in forward if not any(x in lines for x in node.outputs)]
        self._ends = {(line_of(node), node.op) for node in self.leaving}
        self._depths: dict[Source | None, int] = {}
        for node in (*self.leaving, *ends):
            self._depths[line_of(node)] = min(depth_of(node), self._depths.get(line_of(node), depth_of(node)))

    def ends_a_line(self, node: Node) -> bool:
        """Whether the node is what its line computes: read by other lines, or like such a node (in a loop), and not inside of a call there."""
        if node in self.leaving:
            return depth_of(node) == self._depths[line_of(node)]
        return not node.provenance.declared.modules and (line_of(node), node.op) in self._ends


def is_unseen(node: Node) -> bool:
    """Whether the formula of the node is that of its operand."""
    if len(node.operands) != 1 or len(node.outputs) != 1 or node.op.recurrence is not None:
        return False
    written: Formula = node.op.formula(node, _ANY)
    return written == _ANY


def line_of(node: Node) -> Source | None:
    """The user's line that declared the node."""
    return node.provenance.declared.source


def depth_of(node: Node) -> int:
    """How many modules deep the node was made."""
    return min((path.count(".") + 1 for path in node.provenance.declared.modules), default=0)


def _noise(nodes: Iterable[Node]) -> set[Node]:
    """The nodes that depend on random bits and on nothing else but numbers."""
    found: set[Node] = set()
    constant: set[Node] = set()
    for node in nodes:
        if node.op.is_random or (node.operands and all(x.node in found or x.node in constant for x in node.operands)):
            (found if node.op.is_random or any(x.node in found for x in node.operands) else constant).add(node)
        elif not node.operands and not node.op.is_input and not node.op.is_parameter:
            constant.add(node)
    return found
