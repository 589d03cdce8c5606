"""Files: the state of modules and optimisers, and compiled programs as native code."""

from __future__ import annotations

from .exporter import export
from .layout import Layout, Row
from .loading import load
from .program import load_program, save_program
from .safetensors import read, save, write
from .shards import read_arrays

__all__ = ["Layout", "Row", "export", "load", "load_program", "read", "read_arrays", "save", "save_program", "write"]
