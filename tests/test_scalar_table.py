"""The closed table of scalar functions: meaning, evaluation and derivatives agree, proved with sympy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy

from graphdl.kernel import interpretation
from graphdl.kernel.derivative import derivative
from graphdl.kernel.expression import Buffer, Expr, apply, compare, const, fresh_axis, guard, load, reduce, variable
from graphdl.kernel.functions import TABLE
from graphdl.kernel.mathematics import operand_symbol, to_sympy
from graphdl.op import REGISTRY, Sample
from graphdl.ops.elementwise import Elementwise
from graphdl.sizes import as_size, symbol
from graphdl.types import TensorType
from tests.reference import slope
from tests.tolerances import FINITE_DIFFERENCES, SYMBOLIC, assert_close

Array = np.ndarray[Any, Any]

DOMAIN = {
    **dict.fromkeys(("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "cbrt", "power", "divide", "floor_divide", "remainder", "atan2"), (0.3, 2.7)),
    **dict.fromkeys(("asin", "acos", "atanh"), (-0.8, 0.8)), "acosh": (1.3, 3.0), "tan": (-1.2, 1.2),
}  # fmt: skip
UNNAMED = {"round", "trunc"}  # sympy has no such function
STEPS = {"floor", "ceil", "sign", "share", "floor_divide", *UNNAMED}  # constant between jumps
# What simplification does not bring to zero; the numbers are compared all the same.
NOT_SIMPLIFIED = {"abs", "maximum", "minimum", "remainder"}
CONSTANTS = {
    0.6931471805599453: sympy.log(2),
    1.4426950408889634: 1 / sympy.log(2),
    0.4342944819032518: 1 / sympy.log(10),
    1.1283791670955126: 2 / sympy.sqrt(sympy.pi),
}

DIFFERENTIABLE = [name for name, row in TABLE.items() if row.partials]
RELATIONS = [name for name, row in TABLE.items() if row.result == "bool" and row.arity == 2]


def declared(name: str) -> Expr:
    return apply(name, *(variable(k, "float64") for k in range(TABLE[name].arity)))


def points(name: str, count: int = 6) -> list[Array]:
    low, high = DOMAIN.get(name, (-2.7, 2.7))
    return [np.random.default_rng(k).uniform(low, high, count) for k in range(TABLE[name].arity)]


def value(expression: sympy.Basic, numbers: dict[sympy.Symbol, Any]) -> float:
    """The number that an expression is; a relation is 0 or 1."""
    found: Any = expression.subs(list(numbers.items()))
    return float(bool(found)) if found in (sympy.true, sympy.false) else float(sympy.re(found.evalf(30)))


def at(arrays: list[Array]) -> list[dict[sympy.Symbol, Any]]:
    return [{operand_symbol(k): sympy.Float(float(x), 30) for k, x in enumerate(row)} for row in zip(*arrays, strict=True)]


def symbolic_derivative(name: str, position: int) -> sympy.Expr:
    symbols = [operand_symbol(k) for k in range(TABLE[name].arity)]
    meaning = TABLE[name].sympy(sympy, *symbols)
    if name == "remainder":  # sympy leaves the derivative of Mod open
        x, y = symbols
        return sympy.Integer(1) if position == 0 else -sympy.floor(x / y)
    return sympy.diff(meaning, symbols[position])


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE + RELATIONS if name not in UNNAMED])
def test_meaning_agrees_with_evaluation(name: str) -> None:
    arrays = points(name)
    expected = interpretation.evaluate(declared(name), arrays).astype("float64")
    assert_close([value(to_sympy(declared(name)), numbers) for numbers in at(arrays)], expected, SYMBOLIC)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_partials_agree_with_finite_differences(name: str) -> None:
    arrays = points(name)
    for position in range(TABLE[name].arity):
        found = np.broadcast_to(interpretation.evaluate(derivative(declared(name), position), arrays), arrays[0].shape)
        for k in range(len(found)):

            def moved(t: float, k: int = k, position: int = position) -> float:
                shifted = [x[k : k + 1] + (t if j == position else 0) for j, x in enumerate(arrays)]
                return float(interpretation.evaluate(declared(name), shifted)[0])

            assert_close(found[k], slope(moved, 1e-4), FINITE_DIFFERENCES, f"{name} by operand {position}")


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name not in STEPS])
def test_partials_agree_with_sympy(name: str) -> None:
    for position in range(TABLE[name].arity):
        partial, expected = to_sympy(derivative(declared(name), position)), symbolic_derivative(name, position)
        for numbers in at(points(name, 3)):
            assert_close(value(partial, numbers), value(expected, numbers), SYMBOLIC, f"{name} by operand {position}")


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name not in STEPS | NOT_SIMPLIFIED])
def test_partials_are_proved(name: str) -> None:
    positive = {operand_symbol(k): sympy.Symbol(f"p{k}", positive=True) for k in range(TABLE[name].arity)}
    symbols = positive if DOMAIN.get(name, (-1, 1))[0] > 0 else {}
    for position in range(TABLE[name].arity):
        partial = to_sympy(derivative(declared(name), position)).subs({sympy.Float(number): exact for number, exact in CONSTANTS.items()})
        difference = (partial - symbolic_derivative(name, position)).subs(list(symbols.items()))
        assert proved_zero(difference), f"{name} by operand {position}: {difference}"


def proved_zero(expression: sympy.Expr) -> bool:
    """Whether one of sympy's ways of simplifying brings an expression to zero."""
    ways = (sympy.simplify, lambda x: sympy.simplify(x.rewrite(sympy.exp)), lambda x: sympy.simplify(sympy.expand(x)), sympy.radsimp)
    return any(way(expression) == 0 for way in ways)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_steps_have_derivative_zero(name: str) -> None:
    for position in range(TABLE[name].arity):
        assert not interpretation.evaluate(derivative(declared(name), position), points(name)).any()


def floating_samples() -> list[Any]:
    found = []
    for name, kind in sorted(REGISTRY.items()):
        if issubclass(kind, Elementwise) and name not in UNNAMED | {"isnan", "isfinite", "cast"}:
            sample = next(iter(kind.samples()), None)
            if sample and all(x.dtype == np.float64 for x in sample.operands):
                found.append(pytest.param(sample, id=name))
    return found


@pytest.mark.parametrize("sample", floating_samples())
def test_declared_expression_agrees_with_evaluate(sample: Sample) -> None:
    op = sample.op
    assert isinstance(op, Elementwise)
    arrays = [x.ravel()[:5] for x in sample.operands]
    meaning = to_sympy(op.scalar(tuple(x.dtype.name for x in arrays)))
    expected = np.asarray(op.evaluate(*arrays)).astype("float64")
    assert_close([value(meaning, numbers) for numbers in at(arrays)], expected, SYMBOLIC)


def test_loops_as_mathematics() -> None:
    n = symbol("N")
    buffer = Buffer("x", TensorType("float64", (n,)), "input")
    k = fresh_axis(n)
    element = guard(compare("less", as_size(k), 3), load(buffer, (as_size(k),)), const(0.0, "float64"))
    found = to_sympy(reduce("sum", (k,), element * element))
    i = sympy.Symbol(k.key, integer=True)
    term = sympy.Piecewise((sympy.Function("x")(i), i < 3), (0, True))
    assert found == sympy.Sum(term * term, (i, 0, sympy.Symbol("N", integer=True, positive=True) - 1))
