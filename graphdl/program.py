"""What a compiler hands to a backend: a rewritten graph and how its results are to be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .ir import Graph, Tensor
from .record import record
from .signature import Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray[Any, Any]


@record
class CompiledGraph:
    """A graph ready for a backend.

    The graph's outputs are the `visible` results followed by one new value for each of `updated` parameters, in order.
    """

    graph: Graph
    signature: Signature
    visible: int
    updated: tuple[Tensor, ...]

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.graph.outputs[: self.visible]

    @property
    def new_values(self) -> tuple[Tensor, ...]:
        return self.graph.outputs[self.visible :]


class Runner(Protocol):
    """A backend's executable form of a `CompiledGraph`."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The visible results for fitting arrays; parameters are updated in place."""
        ...
