"""State dictionaries: names of parameters, and arrays copied into them all or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import StateError
from ..ir import Tensor

Array = np.ndarray[Any, Any]


def parameter_names(parameters: Iterable[Tensor]) -> dict[Tensor, str]:
    """A name for every parameter: its own, such as `0.weight`; equal ones are numbered in order: `w`, `w.2`."""
    taken: Counter[str] = Counter()
    names: dict[Tensor, str] = {}
    for tensor in parameters:
        name = tensor.name or "parameter"
        taken[name] += 1
        names[tensor] = name if taken[name] == 1 else f"{name}.{taken[name]}"
    return names


def load_arrays(own: Mapping[str, Tensor], state: Mapping[str, Any], *, strict: bool, owner: str) -> None:
    """Copy `state` into the parameters `own` by name, after checking every entry.

    Floating dtypes convert into each other, integers into wider ones. Raises StateError that lists all entries that do not fit,
    and with `strict` all that are missing or unexpected.
    """
    for name, array in _fitting(own, state, strict=strict, owner=owner).items():
        own[name].node.op.state.replace(array)


def adopt_arrays(own: Mapping[str, Tensor], state: Mapping[str, Any], *, owner: str) -> None:
    """Make `state` the memory of the parameters `own`, after the checks of `load_arrays`; only what has another dtype is copied.

    For new parameters, which no program knows yet: those of a program keep their memory.
    """
    for name, array in _fitting(own, state, strict=True, owner=owner).items():
        own[name].node.op.state.adopt(np.require(array, _memory(own[name]).dtype, ("C", "A", "W")))


def _fitting(own: Mapping[str, Tensor], state: Mapping[str, Any], *, strict: bool, owner: str) -> dict[str, Array]:
    """The arrays of `state` that `own` has, once all are checked."""
    arrays = {name: np.asarray(value.value if isinstance(value, Tensor) else value) for name, value in state.items()}
    faults = [fault for name in own if name in arrays and (fault := _misfit(name, _memory(own[name]), arrays[name]))]
    if strict:
        faults += [f"missing: {name} {_describe(_memory(own[name]))}" for name in own if name not in arrays]
        faults += [f"unexpected: {name} {_describe(arrays[name])}" for name in arrays if name not in own]
    if faults:
        raise StateError("\n  ".join([f"{owner} cannot take this state:", *faults]))
    return {name: array for name, array in arrays.items() if name in own}


def _memory(parameter: Tensor) -> Array:
    """The array of a parameter, without drawing values that nobody has read yet."""
    array: Array = parameter.node.op.state.array
    return array


def _misfit(name: str, own: Array, given: Array) -> str | None:
    if own.shape != given.shape:
        return f"misshapen: {name} needs {_describe(own)}, got {_describe(given)}"
    if own.dtype == given.dtype or (_floating(own) and _floating(given)) or np.can_cast(given.dtype, own.dtype, "safe"):
        return None
    return f"wrong dtype: {name} needs {_describe(own)}, got {_describe(given)}"


def _floating(array: Array) -> bool:
    return array.dtype.name in ("float16", "bfloat16", "float32", "float64")


def _describe(array: Array) -> str:
    return f"{array.dtype.name}{list(array.shape)}"
