"""graphdl: a symbolic graph compiler for neural networks.

Declare a network, differentiate it symbolically, read the gradient graph, and run it as native code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors, ops
from .calculus import grad, hessian, hvp, jacobian, jvp, vjp
from .ir import Graph, Tensor
from .ir.node import FUNCTIONS
from .ops.source import parameter, placeholder
from .version import __version__


def __getattr__(name: str) -> Any:
    """Every public function on tensors: ops enter themselves, so there is no list to keep."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    raise AttributeError(f"module 'graphdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *FUNCTIONS})
