"""Programs for inference without what only training does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import rewrite


@record
class Specialise(Pass):
    """Every op that says so by `Op.inference` gives way: dropout(x, bits) -> x."""

    name: ClassVar[str] = "specialise"
    phase: ClassVar[str] = "specialise"
    modes: ClassVar[tuple[str, ...]] = ("inference",)

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, specialised, self.name)


def specialised(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """What the op says stands in for it at inference."""
    found = node.op.inference(*operands)
    return None if found is None else (found,)
