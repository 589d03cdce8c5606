"""Elementary functions as vectorised LLVM IR, with stated error bounds and no call to a math library.

`FUNCTIONS[name](f, x)` emits a function into the open scope of `f` and returns the result, of the type of `x`: float or
double, scalar or vector. `BOUNDS[name]` holds the largest error, in units in the last place, that tests accept for
`"float"` and `"double"`. What exists is what the submodules declare with the `@function` decorator.

The code is straight line: special values go through selects. Two cold exceptions call a small internal function of the
module under a branch that is practically never taken: sine, cosine and tangent of huge arguments, and remainders of huge quotients.
"""

from __future__ import annotations

import importlib
import pkgutil

from .registry import BOUNDS, FUNCTIONS

for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")

__all__ = ["BOUNDS", "FUNCTIONS"]
