"""The function that checks the sizes of a call and computes those of its outputs."""

from __future__ import annotations

from collections.abc import Sequence

from graphdl.sizes import Dim

from ..llvm import I64, PTR, Function, Value
from ..status import BROKEN_EQUALITY, OVER_LIMIT
from .entry import SizeEmitter
from .program import Emitted

Limit = tuple[Dim, int]


def write_shapes(
    emitted: Emitted, symbols: Sequence[str], derived: Sequence[Dim], equalities: Sequence[tuple[Dim, Dim, str]], limit: Limit | None = None
) -> None:
    """Write `i64 shapes(ptr sizes, ptr derived)`: it checks the equalities and fills in sizes of outputs that are no plain symbols.

    `limit` is an amount of memory and the most that it may be.
    """
    if not derived and not equalities and limit is None:
        return
    f = emitted.module.function("shapes", [("sizes", PTR), ("derived", PTR)], I64)
    index = SizeEmitter(f, f.parameters[0], symbols).index
    for position, (left, right, _) in enumerate(equalities):
        broken, good = f.fresh("broken"), f.fresh("good")
        f.branch_if(f.compare("ne", index(left), index(right)), broken, good)
        f.label(broken)
        f.ret(I64.const(BROKEN_EQUALITY + position))
        f.label(good)
    if limit is not None:
        _check_limit(f, index(limit[0]), limit[1])
    for position, size in enumerate(derived):
        f.store(index(size), f.offset(f.parameters[1], I64.const(position), "i64"))
    f.ret(I64.const(0))


def _check_limit(f: Function, amount: Value, most: int) -> None:
    over, good = f.fresh("over"), f.fresh("good")
    f.branch_if(f.compare("sgt", amount, I64.const(most)), over, good)
    f.label(over)
    f.ret(I64.const(OVER_LIMIT))
    f.label(good)
