"""What a program takes: names, types and sizes of its inputs, and the check of every call against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import CallError, CompileError, ShapeError
from .ir import Graph, Tensor
from .sizes import Dim, Size, SymbolAtom, evaluate, symbols_of, terms_of
from .types import TensorType, numpy_dtype

Array = np.ndarray[Any, Any]


Equality = tuple[Dim, Dim, str]


class Signature:
    """The inputs of a compiled graph, in order. `symbols` are the sizes that a call binds, in order of appearance.

    `equalities` are the pairs of sizes that a call must find equal, each with the op and the user's line that need it.
    """

    def __init__(self, inputs: Sequence[Tensor], equalities: Sequence[Equality] = ()) -> None:
        self.inputs = tuple(inputs)
        self.names = tuple(str(tensor.name) for tensor in inputs)
        self.types: tuple[TensorType, ...] = tuple(tensor.type for tensor in inputs)
        self.equalities = tuple(equalities)
        plain = [size for type in self.types for size in type.shape if not isinstance(size, int) and _is_symbol(size)]
        self.symbols: tuple[str, ...] = tuple(dict.fromkeys(str(size) for size in plain))

    @staticmethod
    def of(graph: Graph) -> Signature:
        """The signature of a graph. Raises CompileError where a call of it could not know all inputs and sizes."""
        equalities = [(left, right, f"{node.op.name} ({node.provenance.source}): {what}") for (left, right, what), node in graph.constraints]
        signature = Signature(graph.inputs, equalities)
        _check_inputs(graph, signature.names)
        signature._check_symbols(graph)
        return signature

    def _check_symbols(self, graph: Graph) -> None:
        """Every size that the program uses must follow from its inputs' shapes."""
        tensors = (tensor for part in graph.nested() for node in part.nodes for tensor in node.outputs)
        first = {size: tensor for tensor in reversed(list(tensors)) for size in tensor.shape if isinstance(size, Size)}
        for size, tensor in reversed(first.items()):
            if unknown := symbols_of(size) - set(self.symbols):
                source = tensor.node.provenance.source
                raise CompileError(f"size {min(unknown)} of {tensor!r} ({source}) is no plain axis of any input: a call could not know it")

    def gather(self, arguments: Sequence[Any], named: Mapping[str, Any]) -> list[Array]:
        """One fitting C-contiguous array per input, from positional and named arguments.

        Raises CallError for missing, repeated, unknown or unfit arguments and ShapeError for a wrong rank.
        """
        if len(arguments) == 1 and isinstance(arguments[0], Mapping):
            raise CallError("the program takes arrays by position or by name, not a mapping: give its entries by name, as program(**arrays)")
        if len(arguments) > len(self.names):
            raise CallError(f"the program takes {len(self.names)} inputs ({', '.join(self.names)}), but {len(arguments)} were given")
        given = dict(zip(self.names, arguments, strict=False))
        for name, value in named.items():
            if name not in self.names:
                raise CallError(f"the program has no input {name!r}; it has {', '.join(self.names) or 'none'}")
            if name in given:
                raise CallError(f"input {name!r} was given twice, by position and by name")
            given[name] = value
        missing = [name for name in self.names if name not in given]
        if missing:
            raise CallError(f"missing inputs: {', '.join(self._describe(name) for name in missing)}")
        return [self._fit(name, type, given[name]) for name, type in zip(self.names, self.types, strict=True)]

    def accept(self, arguments: Sequence[Any], named: Mapping[str, Any]) -> list[Array]:
        """The same, with the sizes checked too: arrays that the program can run on as they are."""
        arrays = self.gather(arguments, named)
        self.bind(arrays)
        return arrays

    def bind(self, arrays: Sequence[Array]) -> dict[str, int]:
        """The sizes of this call. Raises ShapeError where shapes disagree with the declared ones or with each other."""
        sizes: dict[str, int] = {}
        origin: dict[str, str] = {}
        for name, type, array in zip(self.names, self.types, arrays, strict=True):
            for axis, (declared, actual) in enumerate(zip(type.shape, array.shape, strict=True)):
                self._bind_axis(name, axis, declared, actual, sizes, origin)
        for name, type, array in zip(self.names, self.types, arrays, strict=True):
            expected = tuple(evaluate(size, sizes) for size in type.shape)
            if expected != array.shape:
                raise ShapeError(f"input {self._describe(name)} needs shape {expected} when {_list(sizes)}, got {array.shape}")
        for left, right, where in self.equalities:
            a, b = evaluate(left, sizes), evaluate(right, sizes)
            if a != b:
                raise ShapeError(f"{where}: {left} is {a}, but {right} is {b}")
        return sizes

    def _bind_axis(self, name: str, axis: int, declared: Dim, actual: int, sizes: dict[str, int], origin: dict[str, str]) -> None:
        if isinstance(declared, int):
            if declared != actual:
                raise ShapeError(f"input {self._describe(name)} has size {declared} on axis {axis}, got {actual}")
        elif _is_symbol(declared):
            symbol = str(declared)
            known = sizes.setdefault(symbol, actual)
            origin.setdefault(symbol, f"axis {axis} of {name!r}")
            if known != actual:
                raise ShapeError(f"{symbol} is {known} on {origin[symbol]}, but {actual} on axis {axis} of {self._describe(name)}")

    def _fit(self, name: str, type: TensorType, value: Any) -> Array:
        dtype = numpy_dtype(type.dtype)
        try:
            array = np.asarray(value) if isinstance(value, np.ndarray) else _from_plain(value, dtype)
        except ValueError as error:
            raise CallError(f"input {self._describe(name)} cannot be read as an array: {error}") from None
        if not np.can_cast(array.dtype, dtype, "equiv"):
            raise CallError(f"input {self._describe(name)} needs dtype {type.dtype}, got {array.dtype}{_mend(array, type)}")
        if array.ndim != type.rank:
            raise ShapeError(f"input {self._describe(name)} has {type.rank} axes, got an array of shape {array.shape}")
        return np.require(array, dtype, ["C", "A"])

    def _describe(self, name: str) -> str:
        tensor: Tensor = self.inputs[self.names.index(name)]
        source = tensor.node.provenance.source
        return f"{name!r}: {tensor.type}" + (f" ({source})" if source else "")


def _from_plain(value: Any, dtype: np.dtype[Any]) -> Array:
    """Python numbers and nested lists take the input's dtype where that loses no kind."""
    array = np.asarray(value)
    weak = not hasattr(value, "dtype") and array.dtype != object and np.can_cast(array.dtype, dtype, "same_kind")
    return array.astype(dtype) if weak else array


def _mend(array: Array, type: TensorType) -> str:
    return f": convert it with .astype({type.dtype!r})" if array.dtype.kind in "fiub" else ""


def _is_symbol(size: Dim) -> bool:
    terms = terms_of(size)
    return len(terms) == 1 and terms[0][1] == 1 and len(terms[0][0]) == 1 and isinstance(terms[0][0][0], SymbolAtom)


def _check_inputs(graph: Graph, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise CompileError(f"two inputs are named {name!r}: give one of the placeholders another name")
    listed = {tensor.node for tensor in graph.inputs}
    for tensor in graph.inputs:
        if not tensor.node.op.is_input:
            raise CompileError(f"{tensor!r} is no placeholder, so it cannot be an input")
    for node in graph.nodes:
        if node.op.is_input and node not in listed:
            raise CompileError(f"the outputs depend on placeholder {node.output.name!r} ({node.provenance.source}), which is not among the inputs")


def _list(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sizes.items()) or "nothing is symbolic"
