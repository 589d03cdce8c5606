"""What parameters and constants hold: arrays, and how parameters get the values they begin with."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..op import Array
from ..threads import for_each
from ..types import dtype_name, numpy_dtype

FEW = 1 << 16  # numbers, which one thread draws in less time than others need to begin


class Initial:
    """How an array gets the values it begins with, and who of several threads fills it."""

    def __init__(self, fill: Callable[[Array], object]) -> None:
        self.fill = fill
        self.lock = threading.Lock()


class ParameterState:
    """The array behind a parameter, and its name, which modules extend by their paths.

    Programs use the memory where it lies, so writing copies into it. `array` is that memory, whose values may be yet to draw.
    """

    def __init__(self, array: Array, name: str) -> None:
        self.array = array
        self.name = name
        self._initial: Initial | None = None

    def begin_with(self, fill: Callable[[Array], object]) -> None:
        """Have `fill` give the array its values when they are first read; where others are written before that, it is never called."""
        self._initial = Initial(fill)

    @property
    def is_drawn(self) -> bool:
        """Whether the array has its values."""
        return self._initial is None

    def read(self) -> Array:
        initial = self._initial
        if initial is not None:
            with initial.lock:
                self._begin(initial)
        return self.array

    def _begin(self, initial: Initial) -> None:
        if self._initial is initial:
            initial.fill(self.array)
            self._initial = None

    def replace(self, values: Any) -> None:
        """Other values for all elements, converted where they have another dtype."""
        self._initial = None
        np.copyto(self.array, values, casting="unsafe")

    def adopt(self, array: Array) -> None:
        """Other memory, for a parameter that no program knows yet."""
        self._initial = None
        self.array = array

    def __deepcopy__(self, memo: dict[int, Any]) -> ParameterState:
        return ParameterState(self.read().copy(), self.name)

    def write(self, value: Any) -> None:
        array = np.asarray(value)
        if array.shape != self.array.shape:
            raise ShapeError(f"the parameter has shape {self.array.shape}, the value {array.shape}")
        if not np.can_cast(array.dtype, self.array.dtype, "same_kind"):
            raise TypeRuleError(f"the parameter has dtype {self.array.dtype}, the value {array.dtype}")
        self.replace(array)


def values_of(parameters: Sequence[Tensor]) -> tuple[Array, ...]:
    """The arrays of parameters. Many values that are yet to be drawn are drawn by several threads."""
    pending = [tensor.node.op.state for tensor in parameters if not tensor.node.op.state.is_drawn]
    if sum(state.array.size for state in pending) > FEW:
        for_each(ParameterState.read, pending)
    return tuple(tensor.value for tensor in parameters)


class ConstantArray:
    """An array that never changes; equal when dtype, shape and bytes are."""

    __slots__ = ("array", "digest")

    def __init__(self, array: Array) -> None:
        self.array = np.array(array, order="C")
        self.array.flags.writeable = False
        head = f"{self.array.dtype.name}{self.array.shape}".encode()
        self.digest = hashlib.sha256(head + self.array.tobytes()).digest()

    def read(self) -> Array:
        return self.array

    def write(self, value: Any) -> None:
        raise TypeRuleError("a constant cannot be changed: make it a gd.parameter")

    @staticmethod
    def decode(dtype: str, shape: Sequence[int], state: str) -> Array:
        """The array whose `repr` is `state`. Raises ValueError or TypeError if it is not one of that type."""
        return np.frombuffer(base64.b64decode(state, validate=True), numpy_dtype(dtype_name(dtype))).reshape(shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConstantArray) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f'"{base64.b64encode(self.array.tobytes()).decode()}"'
