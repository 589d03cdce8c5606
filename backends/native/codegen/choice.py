"""Guards between elements that lie in memory, as joining arrays makes them: the place is chosen, and only that is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphdl.kernel.expression import Axis, Expr, Guard, Load, parts_of, walk
from graphdl.sizes import Dim

from ..llvm import Type, Value
from .affine import linear_part

if TYPE_CHECKING:
    from .accesses import Accesses


def is_choice(x: Guard, along: Axis | None) -> bool:
    """Whether all that `x` chooses from are loads, of neighbours if lanes run `along` an axis, for all of which it chooses alike."""
    alike = along not in x.predicate.axes and not any(isinstance(y, Load) for y in walk(x.predicate))
    return alike and all(is_choice(side, along) if isinstance(side, Guard) else _is_plain(side, along) for side in (x.body, x.otherwise))


def _is_plain(x: Expr, along: Axis | None) -> bool:
    if not isinstance(x, Load) or parts_of(x):
        return False
    parts = linear_part(x.index[0], along) if along else None
    return along is None or (parts is not None and parts[0] == 1)


def chosen_address(emitter: Accesses, x: Expr, memory: Type, along: Axis | None) -> Value:
    """Where the element lies that `x` chooses, for 0 on the axis `along`, computed as far out as it can be."""
    if isinstance(x, Load):
        return emitter.address(x.buffer, _start(x.index[0], along), memory)
    assert isinstance(x, Guard)
    with emitter.above(x.axes - {along}):
        memo = emitter.f.scope.memo
        key = ("choice", x.number, along)
        if key not in memo:
            body, otherwise = (chosen_address(emitter, side, memory, along) for side in (x.body, x.otherwise))
            memo[key] = emitter.f.select(emitter.value(x.predicate), body, otherwise)
        return memo[key]


def _start(offset: Dim, along: Axis | None) -> Dim:
    parts = linear_part(offset, along) if along else None
    return offset if parts is None else parts[1]
