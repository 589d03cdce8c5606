"""Rewriting of graphs: rebuilding with new operands, to a fixed point, and rules of algebra as data."""

from .fixpoint import rewrite
from .following import Following, follow, following
from .pattern import Bindings, Literal, Number, Pattern, Variable, functions, numbers, variables
from .rebuild import Replacement, Rewriting, map_nodes, remake, replace, replace_groups
from .rule import Rule, RuleTable

__all__ = [
    "Bindings", "Following", "Literal", "Number", "Pattern", "Replacement", "Rewriting", "Rule", "RuleTable", "Variable", "follow", "following", "functions",
    "map_nodes", "numbers", "remake", "replace", "replace_groups", "rewrite", "variables",
]  # fmt: skip
