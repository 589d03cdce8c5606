"""Every row of algebra: proved with sympy between scalars, tried on an example, and compared in numbers, odd ones included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sympy

import graphdl as gd
from graphdl.errors import TypeRuleError
from graphdl.ir import Graph, Node, Tensor, make_node
from graphdl.kernel.mathematics import operand_symbol, to_sympy
from graphdl.op import REGISTRY
from graphdl.ops.source import full, full_value
from graphdl.passes.algebra import RULES
from graphdl.passes.fold import Fold
from graphdl.rewrite import Number, Pattern, Rule, RuleTable, Variable, rewrite
from graphdl.rewrite.pattern import Apply, Literal
from graphdl.types import numpy_dtype
from tests.reference import run

Array = np.ndarray[Any, Any]
Environment = dict[Pattern, Tensor]

DTYPES = {"f": ("float32", "float64"), "i": ("int64", "int8", "uint8"), "b": ("bool",)}
NUMBERS = {"c": 3, "d": 4.0, "e": 3.0, "i": 3, "j": -5}
ODD = np.array([0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -0.5, 2.5, 1e-3, -7.25, 1e3, np.nan, np.inf, -np.inf])
ORDINARY = np.array([0.3, 1.7, 2.5, 0.04, 3.9, 0.77])
DECLARED = [rule for rule in RULES if isinstance(rule.after, Pattern)]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def leaves(pattern: Pattern) -> Iterator[Variable]:
    if isinstance(pattern, Variable):
        yield pattern
    elif isinstance(pattern, Apply):
        for operand in pattern.operands:
            yield from leaves(operand)


def build(pattern: Pattern, known: Environment, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """The tensor of a pattern, literals in the dtype of what stands beside them."""
    if isinstance(pattern, Literal):
        return full(shape, pattern.value, dtype)
    if not isinstance(pattern, Apply):
        return known[pattern]
    beside = [build(operand, known, dtype, shape) for operand in pattern.operands if not isinstance(operand, Literal)]
    own = beside[0].dtype if beside and beside[0].dtype != "bool" else dtype
    operands = [build(operand, known, own, shape) for operand in pattern.operands]
    attributes = {"axis": 0} if pattern.function == "softmax" else {}
    return make_node(REGISTRY[pattern.function](**attributes), operands).output


def declare(rule: Rule, dtype: str, shape: tuple[int, ...], *, symbolic: bool) -> tuple[Tensor, Environment]:
    """The left side on placeholders; its numbers are placeholders too where they shall stand for any."""
    known: Environment = {}
    for leaf in leaves(rule.before):
        own = dtype if dtype[0] in [kind for letter in leaf.kinds for kind in {"f": "f", "i": "iu", "b": "b"}[letter]] else DTYPES[leaf.kinds][0]
        filled = isinstance(leaf, Number) and not symbolic
        known[leaf] = full(shape, NUMBERS[leaf.name], own) if filled else gd.placeholder(leaf.name, shape, own)
    return build(rule.before, known, dtype, shape), known


def dtypes_of(rule: Rule) -> list[str]:
    """The dtypes for which the left side can be declared."""
    found = []
    for dtype in itertools.chain(*DTYPES.values()):
        fits = all(dtype in itertools.chain(*(DTYPES[kind] for kind in leaf.kinds)) or leaf.kinds == "b" for leaf in leaves(rule.before))
        try:
            if fits and not (dtype == "uint8" and min(numbers_in(rule.before), default=0) < 0):
                declare(rule, dtype, (2,), symbolic=False)
                found.append(dtype)
        except TypeRuleError:
            continue
    return found


def numbers_in(pattern: Pattern) -> Iterator[float]:
    if isinstance(pattern, Literal):
        yield pattern.value
    if isinstance(pattern, Number):
        yield NUMBERS[pattern.name]
    for operand in pattern.operands if isinstance(pattern, Apply) else ():
        yield from numbers_in(operand)


CASES = [pytest.param(rule, dtype, id=f"{rule.name}-{dtype}") for rule in RULES for dtype in dtypes_of(rule)]


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_every_rule_has_a_case() -> None:
    assert {case.values[0].name for case in CASES} == {rule.name for rule in RULES}  # type: ignore[union-attr]


# -- proof --------------------------------------------------------------------------------------------------------------


class Whole(sympy.Function):  # type: ignore[misc]
    """Rounding of any kind: the result is whole, and a whole number stays."""

    is_integer = True

    @classmethod
    def eval(cls, number: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return number if number.is_integer else None


def meaning(tensor: Tensor) -> Any:
    """The sympy expression of a graph on scalars."""
    values: dict[Node, Any] = {}
    for node in Graph(tensor).nodes:
        values[node] = _meaning(node, [values[operand.node] for operand in node.operands])
    return values[tensor.node]


def _meaning(node: Node, operands: list[Any]) -> Any:
    if node.op.is_input:
        kinds = {"real": True} if node.output.dtype.startswith("float") else {"integer": True} if node.output.dtype != "bool" else {}
        return sympy.Symbol(str(node.op.label), **kinds)
    known = full_value(node.output)
    if known is not None:
        return sympy.sympify(known) if isinstance(known, bool) else sympy.Rational(known)
    dtypes = tuple(operand.dtype for operand in node.operands)
    declared = to_sympy(node.op.scalar(dtypes))
    declared = declared.replace(lambda part: isinstance(part, sympy.core.function.AppliedUndef), lambda part: Whole(*part.args))
    return declared.xreplace({operand_symbol(k, dtype): value for k, (dtype, value) in enumerate(zip(dtypes, operands, strict=True))})


def agree(left: Any, right: Any) -> bool:
    """Whether two expressions are one: simplified, or else in every case of truth values and signs."""
    if left == right:
        return True
    if not isinstance(left, sympy.logic.boolalg.Boolean) and sympy.simplify(sympy.expand_log(left - right, force=True)) == 0:
        return True
    free = sorted(left.free_symbols | right.free_symbols, key=str)
    assert free, f"{left} is not {right}"
    first = free[0]
    return all(agree(left.subs(first, case), right.subs(first, case)) for case in cases_of(first))


def cases_of(symbol: sympy.Symbol) -> list[Any]:
    if not symbol.is_real:
        return [sympy.true, sympy.false]
    if symbol.is_positive:
        return []
    positive = sympy.Symbol(f"{symbol}_", positive=True, integer=symbol.is_integer)
    return [positive, -positive, sympy.Integer(0)]


@pytest.mark.parametrize("rule", DECLARED, ids=lambda rule: rule.name)
def test_proof(rule: Rule) -> None:
    dtype = min(dtypes_of(rule), key=["float64", "float32", "bool", "int64", "int8", "uint8"].index)
    before, known = declare(rule, dtype, (), symbolic=True)
    assert isinstance(rule.after, Pattern)
    assert agree(meaning(before), meaning(build(rule.after, known, before.dtype, ())))


# -- examples -----------------------------------------------------------------------------------------------------------


def applied(rule: Rule, tensor: Tensor) -> Tensor:
    return rewrite(Graph(tensor), RuleTable([rule]).apply, "algebra").outputs[0]


def folded(tensor: Tensor) -> Tensor:
    """The tensor with what is known computed, as rules do."""
    return Fold().run(Graph(tensor)).outputs[0]


@pytest.mark.parametrize(("rule", "dtype"), CASES)
def test_example(rule: Rule, dtype: str) -> None:
    before, known = declare(rule, dtype, (4,), symbolic=False)
    after = applied(rule, before)
    assert after is not before
    assert after.type == before.type
    if isinstance(rule.after, Pattern):
        expected = build(rule.after, known, before.dtype, (4,))
        assert str(Graph(after)) == str(Graph(folded(expected)))
    if after.node not in Graph(before).nodes:
        assert rule.name in after.node.provenance.passes


@pytest.mark.parametrize(("rule", "dtype"), CASES)
def test_numbers(rule: Rule, dtype: str) -> None:
    exact = rule.is_exact or not dtype.startswith("float")
    values = [0, 1] if dtype == "bool" else ODD if exact else ORDINARY
    rows = np.array(list(itertools.product(values, repeat=4)))
    before, known = declare(rule, dtype, (len(rows),), symbolic=False)
    inputs = [tensor for tensor in dict.fromkeys(known.values()) if tensor.node.op.is_input]
    given = {tensor: sample(rows[:, k], tensor.dtype) for k, tensor in enumerate(inputs)}
    (left, right) = run([before, applied(rule, before)], given)
    if exact:
        assert_same_bits(left, right)
    else:
        unit = (rule.ulp + 8) * float(np.finfo(numpy_dtype(before.dtype)).eps)
        ordinary = np.isfinite(left) & np.isfinite(right)
        np.testing.assert_allclose(left[ordinary], right[ordinary], unit, unit)


def assert_same_bits(left: Array, right: Array) -> None:
    """Equal elements; zeros of the same sign, and any NaN for a NaN."""
    np.testing.assert_array_equal(left, right)
    if left.dtype.kind == "f":
        known = ~np.isnan(left)
        np.testing.assert_array_equal(np.signbit(left[known]), np.signbit(right[known]))


def sample(values: Array, dtype: str) -> Array:
    if dtype.startswith("float"):
        return values.astype(dtype)
    return np.nan_to_num(values, nan=5, posinf=100, neginf=100 if dtype == "uint8" else -100).round().clip(0 if dtype == "uint8" else -128, 127).astype(dtype)
