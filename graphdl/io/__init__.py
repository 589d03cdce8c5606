"""Files: the state of modules and optimisers, and compiled programs as native code."""

from __future__ import annotations

from .exporter import export
from .program import load_program, save_program
from .safetensors import load, read, save, write

__all__ = ["export", "load", "load_program", "read", "save", "save_program", "write"]
