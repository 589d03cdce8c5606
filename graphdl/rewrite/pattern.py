"""Patterns of expressions as data: `x, = variables("x")`, then `x * 1` is a pattern that matches such tensors.

A pattern is compiled into one matcher per order of the operands of commutative ops, so that matching needs no search.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from ..ir import Tensor
from ..op import REGISTRY
from ..ops.source import Full, full_value
from ..record import record
from ..types import is_floating, is_integer

Bindings = dict["Pattern", Tensor]
Matcher = Callable[[Tensor, Bindings], bool]
Heads = tuple[tuple[int, str], ...]  # for positions of operands, the op that they must come from


class Pattern:
    """The base; operators make patterns, and Python numbers beside them are literals."""

    def __add__(self, other: Any) -> Pattern:
        return _apply("add", self, other)

    def __radd__(self, other: Any) -> Pattern:
        return _apply("add", other, self)

    def __sub__(self, other: Any) -> Pattern:
        return _apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Pattern:
        return _apply("subtract", other, self)

    def __mul__(self, other: Any) -> Pattern:
        return _apply("multiply", self, other)

    def __truediv__(self, other: Any) -> Pattern:
        return _apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Pattern:
        return _apply("divide", other, self)

    def __pow__(self, other: Any) -> Pattern:
        return _apply("power", self, other)

    def __neg__(self) -> Pattern:
        return _apply("negative", self)

    def __and__(self, other: Any) -> Pattern:
        return _apply("bitwise_and", self, other)

    def __or__(self, other: Any) -> Pattern:
        return _apply("bitwise_or", self, other)

    def __invert__(self) -> Pattern:
        return _apply("bitwise_not", self)


@record(eq=False)
class Variable(Pattern):
    """Any tensor whose dtype is of these kinds: f floating, i integer, b bool. Where it comes twice it is one tensor."""

    name: str
    kinds: str = "fib"

    def accepts(self, tensor: Tensor) -> bool:
        return len(self.kinds) == 3 or _kind(tensor.dtype) in self.kinds


@record(eq=False)
class Number(Variable):
    """A tensor filled with one known number."""

    def accepts(self, tensor: Tensor) -> bool:
        return full_value(tensor) is not None and super().accepts(tensor)


@record(eq=False)
class Literal(Pattern):
    """A tensor filled with this number; -0.0 is not 0.0."""

    value: float

    def matches(self, tensor: Tensor) -> bool:
        value = full_value(tensor)
        return value is not None and value == self.value and math.copysign(1, value) == math.copysign(1, self.value)


@record(eq=False)
class Apply(Pattern):
    """The op of that name, with any attributes, on operands that match."""

    function: str
    operands: tuple[Pattern, ...]


def variables(names: str, kinds: str = "fib") -> list[Variable]:
    """One variable per word of `names`."""
    return [Variable(name, kinds) for name in names.split()]


def numbers(names: str, kinds: str = "fib") -> list[Number]:
    """One number per word of `names`."""
    return [Number(name, kinds) for name in names.split()]


def functions(names: str) -> list[Callable[..., Pattern]]:
    """For each word, what makes patterns of the op of that name."""
    return [_function(name) for name in names.split()]


def _function(name: str) -> Callable[..., Pattern]:
    return lambda *operands: _apply(name, *operands)


def _apply(name: str, *operands: Any) -> Pattern:
    return Apply(name, tuple(operand if isinstance(operand, Pattern) else Literal(operand) for operand in operands))


def _kind(dtype: str) -> str:
    return "f" if is_floating(dtype) else "i" if is_integer(dtype) else "b"


def operand_matchers(pattern: Apply) -> Iterator[tuple[Heads, tuple[Matcher, ...]]]:
    """For every order of the operands in and below `pattern`: the ops that its operands must come from, and a matcher for each."""
    orders = [pattern.operands]
    if getattr(REGISTRY[pattern.function], "commutative", False):
        orders.append(pattern.operands[::-1])
    for order in orders:
        heads = tuple((k, head) for k, head in enumerate(map(_head, order)) if head)
        for matchers in itertools.product(*map(_matchers, order)):
            yield heads, matchers


def _head(pattern: Pattern) -> str:
    """The name of the op that a matching tensor comes from, or nothing."""
    if isinstance(pattern, Apply):
        return pattern.function
    return Full.name if isinstance(pattern, Number | Literal) else ""


def _matchers(pattern: Pattern) -> list[Matcher]:
    if isinstance(pattern, Apply):
        return [_apply_matcher(pattern, matchers) for _, matchers in operand_matchers(pattern)]
    return [_variable_matcher(pattern) if isinstance(pattern, Variable) else _literal_matcher(pattern)]


def _apply_matcher(pattern: Apply, matchers: tuple[Matcher, ...]) -> Matcher:
    name = pattern.function

    def match(tensor: Tensor, found: Bindings) -> bool:
        node = tensor.node
        if node.op.name != name:
            return False
        found[pattern] = tensor
        return match_operands(matchers, node.operands, found)

    return match


def match_operands(matchers: tuple[Matcher, ...], operands: tuple[Tensor, ...], found: Bindings) -> bool:
    """Whether every operand matches; the tensors are entered in `found`."""
    return len(matchers) == len(operands) and all(matcher(operand, found) for matcher, operand in zip(matchers, operands, strict=True))


def _variable_matcher(pattern: Variable) -> Matcher:
    accepts = pattern.accepts

    def match(tensor: Tensor, found: Bindings) -> bool:
        known = found.get(pattern)
        if known is not None:
            return known is tensor
        if not accepts(tensor):
            return False
        found[pattern] = tensor
        return True

    return match


def _literal_matcher(pattern: Pattern) -> Matcher:
    assert isinstance(pattern, Literal)
    matches = pattern.matches
    return lambda tensor, found: matches(tensor)
