"""Rewriting of graphs: rebuilding with new operands, to a fixed point, and rules of algebra as data."""

from .fixpoint import rewrite
from .following import Following, follow, following
from .pattern import Bindings, Literal, Number, Pattern, Variable, functions, numbers, variables
from .rebuild import Rewriting, map_nodes, remake, replace
from .rule import Rule, RuleTable

__all__ = [
    "Bindings", "Following", "Literal", "Number", "Pattern", "Rewriting", "Rule", "RuleTable", "Variable", "follow", "following", "functions", "map_nodes",
    "numbers", "remake", "replace", "rewrite", "variables",
]  # fmt: skip
