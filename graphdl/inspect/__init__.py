"""Looking into graphs and programs: what they cost, where they break, how two of them differ, how far gradients reach."""

from .comparison import Comparison, compare
from .costs import Cost, cost
from .finding import Finding
from .flow import GradientFlow, gradient_flow
from .linter import lint
from .norms import GradientNorms, LayerNorms, gradient_norms
from .through_time import gradient_through_time

__all__ = [
    "Comparison", "Cost", "Finding", "GradientFlow", "GradientNorms", "LayerNorms", "compare", "cost", "gradient_flow", "gradient_norms",
    "gradient_through_time", "lint",
]  # fmt: skip
