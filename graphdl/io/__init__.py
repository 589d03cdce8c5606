"""Files: the state of modules and optimisers, and compiled programs as native code."""

from __future__ import annotations

from .exporter import export
from .safetensors import load, read, save, write

__all__ = ["export", "load", "read", "save", "write"]
