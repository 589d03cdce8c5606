"""The function that checks the sizes of a call and computes those of its outputs."""

from __future__ import annotations

from collections.abc import Sequence

from graphdl.sizes import Dim

from ..llvm import I64, PTR
from ..status import BROKEN_EQUALITY
from .entry import SizeEmitter
from .program import Emitted


def write_shapes(emitted: Emitted, symbols: Sequence[str], derived: Sequence[Dim], equalities: Sequence[tuple[Dim, Dim, str]]) -> None:
    """Write `i64 shapes(ptr sizes, ptr derived)`: it checks the equalities and fills in sizes of outputs that are no plain symbols."""
    if not derived and not equalities:
        return
    f = emitted.module.function("shapes", [("sizes", PTR), ("derived", PTR)], I64)
    index = SizeEmitter(f, f.parameters[0], symbols).index
    for position, (left, right, _) in enumerate(equalities):
        broken, good = f.fresh("broken"), f.fresh("good")
        f.branch_if(f.compare("ne", index(left), index(right)), broken, good)
        f.label(broken)
        f.ret(I64.const(BROKEN_EQUALITY + position))
        f.label(good)
    for position, size in enumerate(derived):
        f.store(index(size), f.offset(f.parameters[1], I64.const(position), "i64"))
    f.ret(I64.const(0))
