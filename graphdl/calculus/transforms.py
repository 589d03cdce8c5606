"""Derivatives built of vjp and jvp: Hessian products, Jacobians, Hessians."""

from __future__ import annotations

from collections.abc import Iterable

from ..ir import Tensor
from ..ops.source import zeros
from .jvp import jvp
from .vjp import _listed, grad, vjp


def hvp(output: Tensor, wrt: Tensor | Iterable[Tensor], vectors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The Hessian of a scalar `output` applied to `vectors`: forward mode over reverse mode."""
    targets = _listed(wrt)
    first = grad(output, targets)
    assert isinstance(first, list)
    return jvp(first, targets, vectors)


def jacobian(output: Tensor, wrt: Tensor) -> Tensor:
    """d output / d wrt, of shape `output.shape + wrt.shape`. The output's number of elements must be known."""
    return zeros((*output.shape, *wrt.shape), output.dtype)


def hessian(output: Tensor, wrt: Tensor) -> Tensor:
    """The second derivatives of a scalar `output`, of shape `wrt.shape + wrt.shape`."""
    first = grad(output, wrt)
    assert isinstance(first, Tensor)
    return jacobian(first, wrt)
