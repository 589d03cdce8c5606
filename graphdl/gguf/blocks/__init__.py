"""Block formats of quantised weights. Each module here describes some and enters them by being imported: there is no list to keep."""

from __future__ import annotations

import importlib
import pkgutil

from .format import FORMATS, BlockFormat, Planes

__all__ = ["FORMATS", "BlockFormat", "Planes", "format_of"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def format_of(number: int) -> BlockFormat | None:
    """The format of one of GGUF's type numbers, or None where graphdl does not have it."""
    return FORMATS.get(number)
