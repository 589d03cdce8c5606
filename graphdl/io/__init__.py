"""Files of arrays: saving and loading the state of modules and optimisers."""

from __future__ import annotations

from .safetensors import load, read, save, write

__all__ = ["load", "read", "save", "write"]
