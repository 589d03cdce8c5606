"""What a person asks to be compiled: a graph, which of its outputs are results, and which parameters the others update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .ir import Graph, Tensor
from .ops.state import values_of
from .signature import Signature

Array = np.ndarray[Any, Any]


class Declared(Protocol):
    """A declaration, or one in a file whose graph is read only when somebody asks for it."""

    @property
    def graph(self) -> Graph:
        """Its outputs are the `visible` results followed by one new value for each of `updated`."""
        ...

    @property
    def visible(self) -> int: ...

    @property
    def updated(self) -> tuple[Tensor, ...]:
        """The parameters that a call changes."""
        ...

    @property
    def is_stateful(self) -> bool:
        """Whether a call changes parameters."""
        ...

    @property
    def signature(self) -> Signature: ...

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """First those that the graph reads, in its order, then those that are only updated."""
        ...

    @property
    def state(self) -> Sequence[Array]:
        """The arrays of the parameters, in their order."""
        ...


class Declaration:
    """A declared graph. Raises CompileError where a call could not know all inputs and sizes."""

    def __init__(self, graph: Graph, visible: int, updated: Sequence[Tensor] = ()) -> None:
        self.graph = graph
        self.visible = visible
        self.updated = tuple(updated)
        self.is_stateful = bool(updated)
        self.signature = Signature.of(graph)
        self.parameters: tuple[Tensor, ...] = tuple(dict.fromkeys((*graph.parameters, *updated)))

    @property
    def state(self) -> tuple[Array, ...]:
        """The arrays of the parameters, in their order."""
        return values_of(self.parameters)
