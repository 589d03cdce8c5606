"""Ops whose meaning is written in other ops: a file's own functions, and those that ONNX defines so itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from ..errors import FormatError, UnsupportedOpError
from ..ir import Tensor
from .elements import element_number
from .registry import REGISTRY, Value


class Functions:
    """The functions that a file brings, by domain and name, beside those of ONNX's own definitions."""

    def __init__(self, protos: Iterable[onnx.FunctionProto]) -> None:
        self._local = {(_canonical(proto.domain), proto.name): proto for proto in protos}

    def has_local(self, domain: str, op: str) -> bool:
        """Whether the file defines the op."""
        return (domain, op) in self._local

    def is_known(self, domain: str, op: str, opset: int) -> bool:
        """Whether an op can be translated at an opset, as far as can be told without its operands."""
        return (domain, op) in REGISTRY or self.has_local(domain, op) or _is_function(domain, op, opset)

    def body(self, proto: onnx.NodeProto, domain: str, opset: int, inputs: Sequence[Value | None]) -> onnx.FunctionProto:
        """The nodes that compute an op. Raises UnsupportedOpError if there are none."""
        if self.has_local(domain, proto.op_type):
            return self._local[domain, proto.op_type]
        if not _is_function(domain, proto.op_type, opset):
            raise UnsupportedOpError("the op is not supported")
        schema = _schema(proto.op_type, opset, domain)
        raw = _plain(schema, opset) or _for_types(schema, proto, opset, inputs)
        body = onnx.FunctionProto()
        try:
            body.ParseFromString(raw)
        except DecodeError:
            raise FormatError("ONNX's own definition of the op does not fit the node") from None
        given = {one.name for one in body.attribute_proto}
        body.attribute_proto.extend(one.default_value for one in schema.attributes.values() if one.default_value.name and one.name not in given)
        return body

    def unknown(self, nodes: Iterable[onnx.NodeProto], opsets: dict[str, int], depth: int = 0) -> Iterable[str]:
        """The ops among nodes, and in graphs and functions below them, that cannot be translated, with opset and node."""
        if depth > 64:
            raise FormatError("functions or graphs are nested more than 64 deep")
        for node in nodes:
            domain = _canonical(node.domain)
            opset = opsets.get(domain, 1)
            if not self.is_known(domain, node.op_type, opset):
                yield f"{node.op_type} ({domain or 'ai.onnx'}, opset {opset}) at node {node.name or next(iter(node.output), '')!r}"
            for attribute in node.attribute:
                for graph in [attribute.g, *attribute.graphs]:
                    yield from self.unknown(graph.node, opsets, depth + 1)

    def unsupported(self, graph: onnx.GraphProto, opsets: dict[str, int]) -> list[str]:
        """All such ops of a graph and of the file's functions, each once."""
        found = list(self.unknown(graph.node, opsets))
        for proto in self._local.values():
            found += self.unknown(proto.node, {**opsets, **{_canonical(one.domain): one.version for one in proto.opset_import}})
        return list(dict.fromkeys(found))


def _canonical(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _is_function(domain: str, op: str, opset: int) -> bool:
    if not onnx.defs.has(op, opset, domain):
        return False
    schema = _schema(op, opset, domain)
    return bool(schema.has_function or schema.has_context_dependent_function)


def _schema(op: str, opset: int, domain: str) -> Any:
    """ONNX's definition; its annotations know less of it than it has."""
    return onnx.defs.get_schema(op, opset, domain)


def _plain(schema: Any, opset: int) -> bytes:
    fitting = [version for version in schema.function_opset_versions if version <= opset]
    return schema.get_function_with_opset_version(max(fitting)) if fitting else b""


def _for_types(schema: Any, proto: onnx.NodeProto, opset: int, inputs: Sequence[Value | None]) -> bytes:
    """The definition for operands of these types."""
    fitting = [version for version in schema.context_dependent_function_opset_versions if version <= opset]
    if not fitting:
        raise UnsupportedOpError(f"ONNX defines the op for opset {min(schema.context_dependent_function_opset_versions, default=0)} and later only")
    types = [_type_proto(value).SerializeToString() for value in inputs]
    return schema.get_context_dependent_function_with_opset_version(max(fitting), proto.SerializeToString(), types)


def _type_proto(value: Value | None) -> onnx.TypeProto:
    if not isinstance(value, Tensor):
        return onnx.TypeProto()
    shape = [size if isinstance(size, int) else str(size) for size in value.shape]
    return onnx.helper.make_tensor_type_proto(element_number(value.dtype), shape)
