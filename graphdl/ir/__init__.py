"""The graph language: immutable, hash-consed nodes in static single assignment, each with its provenance."""

from .graph import Graph
from .node import Node, Operation, Tensor, as_tensor, make_node
from .provenance import Provenance, Source, copying, derived, module_scope, rewriting, told_later

__all__ = [
    "Graph", "Node", "Operation", "Provenance", "Source", "Tensor", "as_tensor", "copying", "derived", "make_node", "module_scope", "rewriting",
    "told_later",
]  # fmt: skip
