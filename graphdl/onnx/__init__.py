"""ONNX models in and out: `load` makes a graph like any declared one, `save` writes any forward graph.

Needs the package onnx: install graphdl[onnx]. What is covered is listed in docs/onnx.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .importer import load
from .model import Model

if TYPE_CHECKING:
    from .exporter import save

__all__ = ["Model", "load", "save"]


def __getattr__(name: str) -> Any:
    """What writes files is imported when it is first asked for."""
    if name != "save":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(".exporter", __name__).save


def __dir__() -> list[str]:
    return sorted({*globals(), "save"})
