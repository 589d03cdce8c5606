"""ONNX models in and out: `load` makes a graph like any declared one, `save` writes any forward graph.

Needs the package onnx: install graphdl[onnx]. What is covered is listed in docs/onnx.md.
"""

from __future__ import annotations

from .exporter import save
from .importer import load
from .model import Model

__all__ = ["Model", "load", "save"]
