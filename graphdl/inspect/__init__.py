"""Looking into graphs and programs: what they cost, where they break, how two of them differ."""

from .comparison import Comparison, compare
from .costs import Cost, cost
from .finding import Finding
from .flow import GradientFlow, gradient_flow
from .linter import lint

__all__ = ["Comparison", "Cost", "Finding", "GradientFlow", "compare", "cost", "gradient_flow", "lint"]
