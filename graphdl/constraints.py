"""Equalities between sizes that a type rule needs and that only a call can confirm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from .errors import ShapeError
from .sizes import Dim, terms_of


class Constraint(NamedTuple):
    """Two sizes that must be equal, and what they are sizes of."""

    left: Dim
    right: Dim
    what: str


_collected: ContextVar[list[Constraint] | None] = ContextVar("constraints", default=None)


@contextmanager
def collect() -> Iterator[list[Constraint]]:
    """Gather what `unify` assumes inside."""
    found: list[Constraint] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def unify(left: Dim, right: Dim, what: str) -> Dim:
    """The one size that both are. Sizes that differ only in symbols are assumed equal and checked at the call.

    Raises ShapeError when no value of the symbols can make them equal.
    """
    if left == right:
        return left
    difference = terms_of(left - right)
    coefficients = [coefficient for _, coefficient in difference]
    constant = dict(difference).get((), 0)
    impossible = all(not monomial for monomial, _ in difference) or (constant != 0 and (min(coefficients) > 0 or max(coefficients) < 0))
    if impossible:
        raise ShapeError(f"{what}: {left} and {right} cannot be equal")
    found = _collected.get()
    if found is not None:
        found.append(Constraint(left, right, what))
    return left if isinstance(left, int) or not isinstance(right, int) else right
