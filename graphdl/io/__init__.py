"""Files: the state of modules and optimisers, and compiled programs as native code."""

from __future__ import annotations

from .exporter import export
from .layout import Layout, Row
from .loading import load
from .safetensors import read, save, write
from .shards import read_arrays

__all__ = ["Layout", "Row", "export", "load", "read", "read_arrays", "save", "write"]
