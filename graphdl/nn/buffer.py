"""Buffers: state of a module that is not trained, and the new values that a training step gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import GraphdlError
from ..ir import Tensor
from ..ir.graph import topological_order
from ..ops.source import Parameter, ParameterState
from ..types import dtype_name


class BufferState(ParameterState):
    """The array behind a buffer. `assigned` is the tensor of its next value, if a step changes it."""

    def __init__(self, array: np.ndarray[Any, Any], name: str, *, persistent: bool) -> None:
        super().__init__(array, name)
        self.persistent = persistent
        self.assigned: Tensor | None = None


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


def assign(buffer: Tensor, value: Tensor) -> None:
    """Let training steps give `buffer` the new `value`: optimisers add it to their updates where the loss reads the buffer.

    Assigned twice, as by a module that is called twice, the last one counts. Raises GraphdlError if it is no buffer.
    """
    if not is_buffer(buffer):
        raise GraphdlError(f"{buffer!r} is no buffer: make it with register_buffer")
    buffer.node.op.state.assigned = value


def assignments(outputs: Iterable[Tensor]) -> dict[Tensor, Tensor]:
    """The new values assigned to the buffers that `outputs` depend on."""
    buffers = [node.output for node in topological_order(outputs) if is_buffer(node.output)]
    return {buffer: buffer.node.op.state.assigned for buffer in buffers if buffer.node.op.state.assigned is not None}
