"""Every op, found by importing each module of this folder: a new op is a new file (or a class in one), and nothing else."""

from __future__ import annotations

import importlib
import pkgutil

for _module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")
