"""Graphs of ONNX nodes, translated one node after the other, with the names that are visible at each place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..errors import FormatError, GraphdlError, UnsupportedOpError, ValueNeededError
from ..ir import Tensor, module_scope
from ..ops.elementwise import describe
from ..ops.source import constant, parameter
from ..record import record
from ..types import is_floating
from .functions import Functions
from .known import Array, Values
from .registry import REGISTRY, Call, Value, results
from .tensors import read_tensor

DEEPEST = 64  # graphs in graphs and functions in functions
SMALL = 1024  # integer elements: larger integer tensors are quantised weights, which stay in memory as they are
_A = onnx.AttributeProto
# What a translator trips over where a node is not as its op's definition has it.
_MALFORMED = (IndexError, KeyError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)


@dataclass
class Library:
    """What all graphs of one file share: opsets, functions, weights made so far, and what is known of tensors."""

    opsets: Mapping[str, int]
    functions: Functions
    folder: Path | None
    state: dict[str, Tensor] = field(default_factory=dict)
    values: Values = field(default_factory=Values)

    def weight(self, name: str, array: Array) -> Tensor:
        """A tensor for an array of the file: a parameter, unless it is a scalar or integers that count or select."""
        if array.ndim == 0 or not (is_floating(array.dtype.name) or array.size > SMALL):
            return constant(array)
        unique = name if name not in self.state else f"{name}.{len(self.state)}"
        self.state[unique] = parameter(array, unique)
        return self.state[unique]


@record
class Scope:
    """The names of one graph, inside of another's."""

    library: Library
    opsets: Mapping[str, int]
    outer: Scope | None = None
    names: dict[str, Value] = field(default_factory=dict)
    references: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)  # what a function's nodes refer to of its caller's attributes
    depth: int = 0
    is_builtin: bool = False  # the nodes are ONNX's own definition of an op, so that their arrays are no weights

    def __post_init__(self) -> None:
        if self.depth > DEEPEST:
            raise FormatError(f"graphs are nested more than {DEEPEST} deep")

    def find(self, name: str) -> Value:
        """The value of a name here or further out. Raises FormatError."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        raise FormatError(f"{name!r} is no input, initializer or result of an earlier node")

    def inside(self) -> Scope:
        """The scope of a graph that sees these names."""
        return Scope(self.library, self.opsets, self, references=self.references, depth=self.depth + 1, is_builtin=self.is_builtin)

    def weight(self, name: str, array: Array) -> Tensor:
        """The tensor for an array of a node."""
        return constant(array) if self.is_builtin else self.library.weight(name, array)

    def enter_weights(self, graph: onnx.GraphProto) -> None:
        """Give the initializers their tensors."""
        for proto in graph.initializer:
            if proto.name not in self.names:
                self.names[proto.name] = self.library.weight(proto.name, read_tensor(proto, self.library.folder))
        if graph.sparse_initializer:
            raise FormatError("sparse initializers are not supported: store the weights densely")

    def run(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Translate nodes in order."""
        for proto in nodes:
            name = proto.name or next((one for one in proto.output if one), proto.op_type)
            with module_scope(name):
                self._bind(proto, self._translate(proto, name))

    def _bind(self, proto: onnx.NodeProto, found: Sequence[Value | None]) -> None:
        for k, output in enumerate(proto.output):
            if output and (k >= len(found) or found[k] is None):
                raise UnsupportedOpError(f"result {k} of {proto.op_type} at node {proto.name or output!r} is not supported")
            if output:
                self.names[output] = found[k]

    def _translate(self, proto: onnx.NodeProto, name: str) -> Sequence[Value | None]:
        domain = proto.domain if proto.domain != "ai.onnx" else ""
        opset = self.opsets.get(domain, 1)
        where = f"{proto.op_type} (opset {opset}{f' of {domain}' if domain else ''}) at node {name!r}"
        inputs = tuple(self.find(one) if one else None for one in proto.input)
        try:
            proto = self._resolved(proto)
            attributes = {one.name: read_attribute(one, self) for one in proto.attribute}
            bodies = {key: value for key, value in attributes.items() if isinstance(value, Body)}
            plain = {key: value for key, value in attributes.items() if not isinstance(value, Body)}
            call = Call(proto.op_type, domain, opset, name, inputs, tuple(proto.output), plain, self.library.values, partial(self.weight, name), bodies)
            return self._apply(proto, call)
        except GraphdlError as error:
            told = _told(error, where, inputs)
            if isinstance(error, ValueNeededError):
                raise ValueNeededError(told, error.names) from None
            raise type(error)(told) from None
        except _MALFORMED as error:
            raise FormatError(_told(error, where, inputs, "the node is not as its op's definition has it: ")) from error

    def _resolved(self, proto: onnx.NodeProto) -> onnx.NodeProto:
        """The node with what it refers to of its function's attributes in their places."""
        if not any(one.ref_attr_name for one in proto.attribute):
            return proto
        resolved = onnx.NodeProto()
        resolved.CopyFrom(proto)
        resolved.ClearField("attribute")
        for one in proto.attribute:
            given = self.references.get(one.ref_attr_name) if one.ref_attr_name else one
            if given is not None:
                resolved.attribute.add().CopyFrom(given)
                resolved.attribute[-1].name = one.name
        return resolved

    def _apply(self, proto: onnx.NodeProto, call: Call) -> Sequence[Value | None]:
        functions = self.library.functions
        key = call.domain, call.op
        if key in REGISTRY and not functions.has_local(call.domain, call.op):
            return results(REGISTRY[key](call, *call.inputs))
        body = functions.body(proto, call.domain, call.opset, call.inputs)
        opsets = {**self.opsets, **{one.domain: one.version for one in body.opset_import}}
        attributes = {one.name: one for one in (*body.attribute_proto, *proto.attribute)}
        scope = Scope(self.library, opsets, references=attributes, depth=self.depth + 1, is_builtin=not functions.has_local(call.domain, call.op))
        scope.names.update({name: call[k] for k, name in enumerate(body.input)})
        scope.run(body.node)
        return [scope.names.get(name) for name in body.output]


@record
class Body:
    """A graph that is an attribute, such as a branch of If. It may be called several times."""

    proto: onnx.GraphProto
    scope: Scope

    def __call__(self, *inputs: Value) -> list[Value]:
        """The values of its outputs for those of its inputs, as many as there are."""
        inner = self.scope.inside()
        inner.names.update({one.name: value for one, value in zip(self.proto.input, inputs, strict=True)})
        inner.enter_weights(self.proto)
        inner.run(self.proto.node)
        return [inner.find(one.name) for one in self.proto.output]

    def constants(self) -> dict[str, Array]:
        """The arrays of its initializers and Constant nodes, by name."""
        folder = self.scope.library.folder
        tensors = {one.name: one for one in self.proto.initializer}
        for node in self.proto.node:
            for one in node.attribute:
                if node.op_type == "Constant" and one.name == "value":
                    tensors[node.output[0]] = one.t
        return {name: read_tensor(proto, folder) for name, proto in tensors.items()}


def read_attribute(proto: onnx.AttributeProto, scope: Scope) -> Any:
    """The value of an attribute: a number, text, array, Body, or a tuple of them. Raises FormatError for other kinds."""
    kind = proto.type
    if kind in (_A.INT, _A.FLOAT):
        return proto.i if kind == _A.INT else proto.f
    if kind in (_A.INTS, _A.FLOATS):
        return tuple(proto.ints if kind == _A.INTS else proto.floats)
    if kind == _A.STRING:
        return _text(proto.s)
    if kind == _A.STRINGS:
        return tuple(map(_text, proto.strings))
    if kind == _A.TENSOR:
        return read_tensor(proto.t, scope.library.folder)
    if kind == _A.GRAPH:
        return Body(proto.g, scope)
    if kind == _A.TYPE_PROTO:
        return proto.tp
    raise FormatError(f"the attribute {proto.name!r} is of a kind ({kind}) that is not supported")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _told(error: BaseException, where: str, inputs: Sequence[Value | None], lead: str = "") -> str:
    """An error's message, once with the node and its operands."""
    message = str(error) if isinstance(error, GraphdlError) else f"{type(error).__name__}: {error}"
    if " at node " in message:
        return message
    lines = [f"{where}: {lead}{message}"]
    lines += [f"  input {k}: {_type_of(value)}" for k, value in enumerate(inputs) if value is not None]
    return "\n".join(lines)


def _type_of(value: Value) -> str:
    return describe(value) if isinstance(value, (Tensor, np.ndarray)) else f"a sequence of {len(value)}" if isinstance(value, list) else type(value).__name__
