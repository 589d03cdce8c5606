"""Symbolic differentiation of graphs."""

from .jvp import jvp
from .transforms import hessian, hvp, jacobian
from .vjp import grad, vjp

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "vjp"]
