"""Derivatives built of vjp and jvp: Hessian products, Jacobians, Hessians."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import GradientError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.join import stack
from ..ops.pad import place
from ..ops.shape import reshape
from ..ops.source import full
from ..sizes import Dim
from .jvp import jvp
from .vjp import _listed, grad, vjp


def hvp(output: Tensor, wrt: Tensor | Iterable[Tensor], vectors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The Hessian of a scalar `output` applied to `vectors`: forward mode over reverse mode."""
    targets = _listed(wrt)
    first = grad(output, targets)
    return jvp(first, targets, vectors)


def jacobian(output: Tensor, wrt: Tensor) -> Tensor:
    """d output / d wrt, of shape `output.shape + wrt.shape`.

    A row for every element of `output` by reverse mode, or, where `wrt` is known to have fewer elements, a column for each
    of those by forward mode; so the graph grows with the smaller of both. What does not depend on the row is shared.
    Raises GradientError when neither number of elements is known.
    """
    rows, columns = output.size, wrt.size
    if isinstance(columns, int) and (not isinstance(rows, int) or columns < rows):
        return _by_columns(output, wrt, columns)
    if isinstance(rows, int):
        return _by_rows(output, wrt, rows)
    raise GradientError(f"jacobian: neither {describe(output)} nor {describe(wrt)} has a known number of elements: give one of them sizes, or use gd.vjp")


def _by_rows(output: Tensor, wrt: Tensor, count: int) -> Tensor:
    if count == 0:
        return full((*output.shape, *wrt.shape), 0, wrt.dtype)
    rows = [vjp([output], [wrt], [_unit(output, k, count)])[0] for k in range(count)]
    return reshape(stack(rows), (*output.shape, *wrt.shape))


def _by_columns(output: Tensor, wrt: Tensor, count: int) -> Tensor:
    if count == 0:
        return full((*output.shape, *wrt.shape), 0, output.dtype)
    columns = [jvp([output], [wrt], [_unit(wrt, k, count)])[0] for k in range(count)]
    return reshape(stack(columns, -1), (*output.shape, *wrt.shape))


def _unit(like: Tensor, k: int, count: Dim) -> Tensor:
    """One at element k in row-major order, else zero."""
    return reshape(place(full((1,), 1, like.dtype), (count,), (k,), (1,)), like.shape)


def hessian(output: Tensor, wrt: Tensor) -> Tensor:
    """The second derivatives of a scalar `output`, of shape `wrt.shape + wrt.shape`. The size of `wrt` must be known."""
    first = grad(output, wrt)
    return jacobian(first, wrt)
