"""Control flow as ops whose bodies are graphs: scan, cond and while, with their derivatives."""

from . import cond, scan, while_loop

__all__ = ["cond", "scan", "while_loop"]
