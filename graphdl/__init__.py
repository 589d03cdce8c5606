"""graphdl: a symbolic graph compiler for neural networks.

Declare a network, differentiate it symbolically, read the gradient graph, and run it as native code.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import control, errors, ops
from .calculus import checkpoint, explain, grad, hessian, hvp, jacobian, jvp, vjp
from .compiler import Executable, compile
from .ir import Graph, Tensor
from .ir.node import FUNCTIONS
from .ops.source import parameter, placeholder
from .version import __version__

__all__ = [
    "Executable", "Graph", "History", "Tensor", "Trainer", "__version__", "checkpoint", "compare", "compile", "control", "cost", "errors", "explain",
    "export", "gguf", "grad", "gradient_flow", "gradient_norms", "gradient_through_time", "hessian", "hvp", "jacobian", "jvp", "lint", "load",
    "load_program", "nn", "onnx", "ops", "optim", "parameter", "placeholder", "random", "save", "save_program", "vjp",
]  # fmt: skip

if TYPE_CHECKING:
    from . import gguf, nn, onnx, optim, random
    from .inspect import compare, cost, gradient_flow, gradient_norms, gradient_through_time, lint
    from .io import export, load, load_program, save, save_program
    from .train import History, Trainer

# What is imported only when it is first asked for, so that `import graphdl` stays light: modules, and public names in them.
_LATE = {
    "gguf": (),
    "inspect": ("compare", "cost", "gradient_flow", "gradient_norms", "gradient_through_time", "lint"),
    "io": ("export", "load", "load_program", "save", "save_program"),
    "nn": (),
    "onnx": (),
    "optim": (),
    "random": (),
    "train": ("History", "Trainer"),
}
_LAZY = {name: module for module, names in _LATE.items() for name in (module, *names)}


def __getattr__(name: str) -> Any:
    """Every public function on tensors (ops enter themselves, so there is no list to keep), and what is imported late."""
    if name in _LAZY:
        module = importlib.import_module(f".{_LAZY[name]}", __name__)
        return module if _LAZY[name] == name else getattr(module, name)
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    raise AttributeError(f"module 'graphdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *FUNCTIONS, *_LAZY})
