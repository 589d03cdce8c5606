"""Sums of products, packed and register-tiled: matrix products, einsum and convolutions alike (see `engine`)."""

from .engine import Contraction, emit_contraction
from .interface import Axis, Direct, Epilogue, Operand, Parts, Traits
from .matrices import Matrix, Store
from .schedule import Emitted, Plan, Quantity, Schedule, Shape, plan

__all__ = [
    "Axis", "Contraction", "Direct", "Emitted", "Epilogue", "Matrix", "Operand", "Parts", "Plan", "Quantity", "Schedule", "Shape", "Store", "Traits",
    "emit_contraction", "plan",
]  # fmt: skip
