"""Sums of products, packed and register-tiled: matrix products, einsum and convolutions alike (see `engine`)."""

from .cut import Chooser, Cut, modelled
from .engine import Contraction, emit_contraction
from .integers import Integers
from .interface import Axis, Direct, Epilogue, Indexed, Operand, Parts, Traits
from .matrices import Matrix, Store
from .quantity import Emitted, Quantity, Shape
from .schedule import Known, Plan, Schedule, plan

__all__ = [
    "Axis", "Chooser", "Contraction", "Cut", "Direct", "Emitted", "Epilogue", "Indexed", "Integers", "Known", "Matrix", "Operand", "Parts", "Plan",
    "Quantity", "Schedule", "Shape", "Store", "Traits", "emit_contraction", "modelled", "plan",
]  # fmt: skip
