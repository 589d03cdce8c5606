"""Symbolic differentiation of graphs."""

from .checkpoint import checkpoint
from .explain import explain
from .jvp import jvp
from .transforms import hessian, hvp, jacobian
from .vjp import grad, vjp

__all__ = ["checkpoint", "explain", "grad", "hessian", "hvp", "jacobian", "jvp", "vjp"]
