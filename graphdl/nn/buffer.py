"""Buffers: state of a module that is not trained, and the new values that a training step gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import GraphdlError
from ..ir import Tensor
from ..ir.graph import topological_order
from ..ops.source import Parameter
from ..ops.state import ParameterState
from ..types import dtype_name


class BufferState(ParameterState):
    """The array behind a buffer. `assigned` holds new values that a step which reads it gives to buffers, mostly to itself."""

    def __init__(self, array: np.ndarray[Any, Any], name: str, *, persistent: bool) -> None:
        super().__init__(array, name)
        self.persistent = persistent
        self.assigned: dict[Tensor, Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> BufferState:
        """A copy with nothing assigned: its module has not been called."""
        return BufferState(self.read().copy(), self.name, persistent=self.persistent)


def make_buffer(array: Any, name: str, persistent: bool = True) -> Tensor:
    """State that is not trained, initialised with a copy of `array` (or of a parameter's value)."""
    own = np.array(array.value if isinstance(array, Tensor) else array, order="C")
    return Parameter(dtype_name(own.dtype), own.shape, BufferState(own, name, persistent=persistent))()


def is_buffer(tensor: Tensor) -> bool:
    """Whether the tensor is state that is not trained."""
    return isinstance(getattr(tensor.node.op, "state", None), BufferState)


def is_persistent(tensor: Tensor) -> bool:
    """Whether the tensor is a buffer that is saved."""
    return is_buffer(tensor) and bool(tensor.node.op.state.persistent)


def assign(buffer: Tensor, value: Tensor, along: Tensor | None = None) -> None:
    """Let training steps give `buffer` the new `value`: optimisers add it to their updates where the loss reads the buffer.

    With `along`, where the loss reads that other buffer. Assigned twice, as by a module that is called twice, the last one
    counts. Raises GraphdlError if it is no buffer.
    """
    read = buffer if along is None else along
    for tensor in (buffer, read):
        if not is_buffer(tensor):
            raise GraphdlError(f"{tensor!r} is no buffer: make it with register_buffer")
    read.node.op.state.assigned[buffer] = value


def assignments(outputs: Iterable[Tensor]) -> dict[Tensor, Tensor]:
    """The new values assigned to the buffers that `outputs` depend on."""
    read = [node.output for node in topological_order(outputs) if is_buffer(node.output)]
    return {buffer: value for tensor in read for buffer, value in tensor.node.op.state.assigned.items()}
