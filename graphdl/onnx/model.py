"""What an imported model is: tensors of a graph, with the names they have in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..ir import Graph, Tensor
from ..nn.state import load_arrays
from ..types import is_floating


class Model:
    """An imported model. `inputs` and `outputs` are Tensors in the file's order: graph like any other.

    The parameters are initialised with the file's weights. `gd.compile(model.outputs, inputs=model.inputs)` runs it,
    `gd.grad` of a loss on its outputs trains it, `gd.save` and `gd.load` keep its state.
    """

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[tuple[str, Tensor]], state: Mapping[str, Tensor]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(tensor for _, tensor in outputs)
        self.output_names = tuple(name for name, _ in outputs)
        self._state = dict(state)

    @property
    def graph(self) -> Graph:
        """The graph of the outputs."""
        return Graph(self.outputs, self.inputs)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The floating weights by their names in the file."""
        return ((name, tensor) for name, tensor in self._state.items() if is_floating(tensor.dtype))

    def parameters(self) -> list[Tensor]:
        """The floating weights."""
        return [tensor for _, tensor in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Integer weights, such as quantised ones, by their names in the file."""
        return ((name, tensor) for name, tensor in self._state.items() if not is_floating(tensor.dtype))

    def buffers(self) -> list[Tensor]:
        """Integer weights, such as quantised ones."""
        return [tensor for _, tensor in self.named_buffers()]

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Every weight by its name: the arrays themselves, not copies."""
        return {name: tensor.value for name, tensor in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into the weights by name. Raises StateError that lists all that do not fit; nothing is changed then."""
        load_arrays(self._state, state, strict=strict, owner="Model")

    def __repr__(self) -> str:
        inputs = ", ".join(f"{tensor.name}: {tensor.type}" for tensor in self.inputs)
        outputs = ", ".join(f"{name}: {tensor.type}" for name, tensor in zip(self.output_names, self.outputs, strict=True))
        return f"<Model ({inputs}) -> ({outputs}), {len(self._state)} weights>"
