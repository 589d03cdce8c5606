"""Rules of algebra: rows of data, compiled into a table by the op at the root."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..ir import Node, Tensor, derived
from ..op import REGISTRY
from ..ops.source import full, full_value
from ..record import record
from ..types import TensorType, is_floating, numpy_dtype
from .pattern import Apply, Bindings, Heads, Literal, Matcher, Pattern, match_operands, operand_matchers

SMALLEST_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
Build = Callable[[Bindings, Node], Tensor | None]
Row = tuple["Rule", Heads, tuple[Matcher, ...]]


@record
class Rule:
    """`before` is rewritten to `after`: a pattern over the same variables, or a function of the tensors that matched and the node.

    `ulp` bounds by how many units in the last place the two sides differ, relative to the value without rounding, where
    nothing overflows or underflows. `differs` says for which values they differ otherwise. A rule with neither is exact:
    the same bits for every value, NaN and infinities included. `when` must hold of the tensors that matched.
    """

    name: str
    before: Pattern
    after: Pattern | Build
    when: Callable[[Bindings], bool] | None = None
    ulp: float = 0.0
    differs: str = ""

    @property
    def is_exact(self) -> bool:
        return not self.ulp and not self.differs

    @property
    def root(self) -> Apply:
        assert isinstance(self.before, Apply)
        return self.before

    def build(self, found: Bindings, node: Node) -> Tensor | None:
        """What stands in for the result of `node`; None if a number cannot be computed without loss."""
        with derived(self.name, parents=[node]):
            return _build(self.after, found, node.output.type) if isinstance(self.after, Pattern) else self.after(found, node)


class RuleTable:
    """Rules by the name of the op at their root, with their matchers. The first row that matches is applied."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.fitting: dict[tuple[str, ...], list[Row]] = {}  # by the names of an op and of those that its operands come from
        for rule in rules:
            rows = self.rows.setdefault(rule.root.function, [])
            rows += [(rule, heads, matchers) for heads, matchers in operand_matchers(rule.root)]

    def apply(self, node: Node, operands: tuple[Tensor, ...]) -> tuple[Tensor] | None:
        """What the first fitting rule makes of the node's op on `operands`."""
        if node.op.name not in self.rows:
            return None
        names = (node.op.name, *[operand.node.op.name for operand in operands])
        rows = self.fitting.get(names)
        if rows is None:
            rows = self.fitting[names] = [row for row in self.rows[names[0]] if all(names[k + 1] == head for k, head in row[1])]
        for rule, _, matchers in rows:
            result = _applied(rule, matchers, node, operands)
            if result is not None:
                return (result,)
        return None


def _applied(rule: Rule, matchers: tuple[Matcher, ...], node: Node, operands: tuple[Tensor, ...]) -> Tensor | None:
    found: Bindings = {}
    matched = match_operands(matchers, operands, found) and (rule.when is None or rule.when(found))
    return rule.build(found, node) if matched else None


def _build(pattern: Pattern, found: Bindings, type: TensorType) -> Tensor | None:
    """The tensor of a pattern; literals take their shape from `type`, and their dtype from what stands beside them."""
    if isinstance(pattern, Literal):
        return full(type.shape, pattern.value, type.dtype)
    if not isinstance(pattern, Apply):
        return found[pattern]
    given = [None if isinstance(operand, Literal) else _build(operand, found, type) for operand in pattern.operands]
    dtype = next((tensor.dtype for tensor in given if tensor is not None), type.dtype)
    operands = [_build(part, found, type.with_dtype(dtype)) if isinstance(part, Literal) else own for part, own in zip(pattern.operands, given, strict=True)]
    known = [tensor for tensor in operands if tensor is not None]
    if len(known) < len(operands):
        return None
    op = REGISTRY[pattern.function]()
    result: Tensor = op(*known)
    return result if any(full_value(tensor) is None for tensor in known) else _number(result, known)


def _number(result: Tensor, operands: list[Tensor]) -> Tensor | None:
    """The value of an op on numbers, if it is one without overflow and underflow."""
    arrays = [np.asarray(full_value(tensor), numpy_dtype(tensor.dtype)) for tensor in operands]
    value = np.asarray(result.node.op.evaluate(*arrays))
    if is_floating(result.dtype) and (not np.isfinite(value) or (abs(value) < SMALLEST_NORMAL[result.dtype] and all(array != 0 for array in arrays))):
        return None
    return full(result.shape, value.item(), result.dtype)
