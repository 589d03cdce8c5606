"""Looking into graphs and programs: what they cost, where they break, how two of them differ."""

from .comparison import Comparison, compare
from .cost import Cost, cost
from .flow import GradientFlow, gradient_flow
from .lint import Finding, lint

__all__ = ["Comparison", "Cost", "Finding", "GradientFlow", "compare", "cost", "gradient_flow", "lint"]
