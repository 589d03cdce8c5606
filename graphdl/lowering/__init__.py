"""From a rewritten graph to a program of kernels."""

from .lower import Lowering, lower_graph

__all__ = ["Lowering", "lower_graph"]
