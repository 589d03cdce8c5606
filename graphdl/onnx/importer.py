"""`load`: a model file becomes graph."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message

from ..collection import paused_collection
from ..errors import FormatError, ShapeError, TypeRuleError, UnsupportedOpError
from ..ir import Tensor
from ..ops.source import constant, placeholder
from ..sizes import Dim, symbol
from ..types import dtype_name, numpy_dtype
from .elements import element_name
from .functions import Functions
from .model import Model
from .registry import load_translators
from .scope import Library, Scope

NEWEST = 1 << 20  # above all opset versions

Source = str | os.PathLike[str] | bytes | onnx.ModelProto


def load(source: Source, constants: Mapping[str, Any] | None = None, shapes: Mapping[str, Sequence[int | str]] | None = None) -> Model:
    """A model from a file's path, its bytes or a ModelProto, as graph.

    Inputs become placeholders of the declared dtype and shape; named sizes stay symbolic, and equal names are equal sizes.
    Floating initializers and Constant nodes of at least one axis become parameters. `constants` gives some inputs values
    for good, so that sizes and branches which follow from them are decided now; `shapes` declares the shapes of some inputs anew,
    by numbers and names, for branches that follow from sizes and where the file declares none.

    Raises FormatError for a damaged file and for nodes that break their op's definition, UnsupportedOpError that lists the
    ops that graphdl cannot translate, before anything is made, ValueNeededError where a size follows from an input's values,
    and ShapeError or TypeRuleError, with the node and its operands, where shapes or dtypes do not fit.
    """
    proto, folder = _read(source)
    opsets, functions = check_supported(proto)
    scope = Scope(Library(opsets, functions, folder), opsets)
    with paused_collection():
        inputs = _enter_inputs(proto.graph, scope, dict(constants or {}), dict(shapes or {}))
        scope.enter_weights(proto.graph)
        scope.run(proto.graph.node)
    outputs = [(one.name, scope.find(one.name)) for one in proto.graph.output]
    for name, value in outputs:
        if not isinstance(value, (Tensor, list)):
            raise FormatError(f"the output {name!r} is no tensor")
    return Model(inputs, _flat(outputs), scope.library.state)


def check_supported(proto: onnx.ModelProto) -> tuple[dict[str, int], Functions]:
    """The opsets and functions of a model. Raises UnsupportedOpError that lists the ops that cannot be translated."""
    load_translators()
    opsets = {"" if one.domain == "ai.onnx" else one.domain: one.version for one in proto.opset_import}
    functions = Functions(proto.functions)
    if unsupported := functions.unsupported(proto.graph, opsets):
        raise UnsupportedOpError("graphdl cannot translate these ops:\n  " + "\n  ".join(unsupported))
    return opsets, functions


def _read(source: Source) -> tuple[onnx.ModelProto, Path | None]:
    if isinstance(source, onnx.ModelProto):
        return source, None
    folder = None if isinstance(source, bytes) else Path(source).parent
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise FormatError(f"{'the bytes are' if folder is None else f'{source!s} is'} no ONNX model: {error}") from None
    if not proto.opset_import or not proto.graph.output or not all(0 < one.version < NEWEST for one in proto.opset_import):
        raise FormatError("this is no ONNX model: it names no opset or no output")
    check_text(proto)
    return proto, folder


def check_text(message: Message, depth: int = 0) -> None:
    """Raise FormatError for text that is no UTF-8 and for messages nested too deep."""
    if depth > 200:
        raise FormatError("the messages of the file are nested more than 200 deep")
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_MESSAGE, field.TYPE_STRING):
            continue
        for one in (value,) if isinstance(value, (str, bytes, Message)) else value:
            if isinstance(one, bytes):  # what the parser gives for text that it cannot read
                raise FormatError(f"the {field.name} {one[:40]!r} is no text")
            if isinstance(one, Message):
                check_text(one, depth + 1)


def _enter_inputs(graph: onnx.GraphProto, scope: Scope, constants: dict[str, Any], shapes: dict[str, Sequence[int | str]]) -> list[Tensor]:
    weights = {proto.name for proto in graph.initializer}
    symbols = Symbols()
    found: list[Tensor] = []
    for info in graph.input:
        if info.name in weights and info.name not in constants:
            continue  # before IR version 4 initializers are listed among the inputs
        if info.name in constants:
            scope.names[info.name] = _constant(info, constants.pop(info.name))
            continue
        dtype, shape = input_type(info, symbols, shapes.pop(info.name, None))
        scope.names[info.name] = placeholder(info.name, shape, dtype)
        found.append(scope.names[info.name])
    if unknown := [*constants, *(name for name in shapes if name not in scope.names)]:
        raise TypeRuleError(f"constants or shapes: the model has no input named {', '.join(map(repr, unknown))}")
    return found


def _constant(info: onnx.ValueInfoProto, value: Any) -> Tensor:
    dtype = element_name(info.type.tensor_type.elem_type)
    array = np.asarray(value)
    if not np.can_cast(array.dtype, numpy_dtype(dtype), "same_kind"):
        raise TypeRuleError(f"constants: the input {info.name!r} is {dtype}, the value {dtype_name(array.dtype)}")
    return constant(array, dtype)


class Symbols:
    """Identifiers for the names of sizes in a file, which may hold any characters."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def size(self, name: str) -> Dim:
        """The symbolic size of a name."""
        if name not in self._known:
            base = re.sub(r"\W", "_", name, flags=re.ASCII)
            base = base if base.isidentifier() else f"n{base}"
            taken = set(self._known.values())
            self._known[name] = next(one for one in _numbered(base) if one not in taken)
        return symbol(self._known[name])


def _numbered(base: str) -> Iterable[str]:
    yield base
    yield from (f"{base}_{k}" for k in range(1, 1 << 20))


def input_type(info: onnx.ValueInfoProto, symbols: Symbols, given: Sequence[int | str] | None) -> tuple[str, list[Dim]]:
    """The dtype of an input, and its shape as declared or `given`. Raises FormatError if they are not those of a tensor of known rank."""
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        raise FormatError(f"the input {info.name!r} is no tensor ({kind}): such inputs are not supported")
    type = info.type.tensor_type
    if given is not None:
        if type.HasField("shape") and len(type.shape.dim) != len(given):
            raise ShapeError(f"shapes: the input {info.name!r} has {len(type.shape.dim)} axes, {len(given)} are given")
        return element_name(type.elem_type), [symbols.size(size) if isinstance(size, str) else int(size) for size in given]
    if not type.HasField("shape"):
        raise FormatError(f"the input {info.name!r} has no declared rank: give shapes={{name: shape}}")
    shape: list[Dim] = []
    for axis, size in enumerate(type.shape.dim):
        if size.HasField("dim_value") and size.dim_value >= 0:
            shape.append(size.dim_value)
        else:
            named = any(letter.isalnum() for letter in size.dim_param)  # some exporters write "?" for whatever they do not know
            shape.append(symbols.size(size.dim_param if named else f"{info.name}_{axis}"))
    return element_name(type.elem_type), shape


def _flat(outputs: Iterable[tuple[str, Any]]) -> list[tuple[str, Tensor]]:
    """The outputs with sequences told element by element."""
    found: list[tuple[str, Tensor]] = []
    for name, value in outputs:
        found += [(f"{name}.{k}", one) for k, one in enumerate(value)] if isinstance(value, list) else [(name, value)]
    return found
