"""The algebra of sizes against plain integers and against sympy."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
import sympy

from graphdl import sizes
from graphdl.constraints import Constraint, collect, unify
from graphdl.errors import ShapeError
from graphdl.kernel.expression import Axis
from graphdl.sizes import Dim, as_size, ceildiv, divides, evaluate, floordiv, from_sympy, maximum, minimum, mod, symbol, to_sympy

NAMES = ("A", "B", "C")
VALUES: list[dict[str, int]] = [dict(zip(NAMES, numbers, strict=True)) for numbers in itertools.product((1, 2, 3, 5, 8), repeat=3)]
Number = Callable[[dict[str, int]], int]
BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int, int], int]]] = {
    "+": (lambda x, y: x + y, lambda x, y: x + y),
    "-": (lambda x, y: x - y, lambda x, y: x - y),
    "*": (lambda x, y: x * y, lambda x, y: x * y),
    "min": (minimum, min),
    "max": (maximum, max),
    "//": (floordiv, lambda x, y: x // y),
    "%": (mod, lambda x, y: x % y),
}


def random_size(generator: random.Random, depth: int) -> tuple[Dim, Number]:
    """A size and, beside it, a function that computes the same with ints."""
    if depth == 0 or generator.random() < 0.2:
        return random_leaf(generator)
    name = generator.choice(list(BINARY))
    left, left_number = random_size(generator, depth - 1)
    right, right_number = random_divisor(generator) if name in ("//", "%") else random_size(generator, depth - 1)
    build, compute = BINARY[name]
    return build(left, right), lambda values: compute(left_number(values), right_number(values))


def random_leaf(generator: random.Random) -> tuple[Dim, Number]:
    if generator.random() < 0.4:
        number = generator.randint(-4, 7)
        return number, lambda values: number
    name = generator.choice(NAMES)
    return symbol(name), lambda values: values[name]


def random_divisor(generator: random.Random) -> tuple[Dim, Number]:
    """Something positive."""
    number, name, other = generator.randint(1, 6), generator.choice(NAMES), generator.choice(NAMES)
    forms: list[tuple[Dim, Number]] = [
        (number, lambda values: number),
        (symbol(name), lambda values: values[name]),
        (symbol(name) * number, lambda values: values[name] * number),
        (symbol(name) * symbol(other) + number, lambda values: values[name] * values[other] + number),
    ]
    return generator.choice(forms)


@pytest.mark.parametrize("seed", range(400))
def test_random_sizes_agree_with_integers(seed: int) -> None:
    size, number = random_size(random.Random(seed), 4)
    for values in VALUES[:: 1 + seed % 3]:
        assert evaluate(size, values) == number(values), f"{size} at {values}"


@pytest.mark.parametrize("seed", range(60))
def test_sympy_round_trip(seed: int) -> None:
    size, _ = random_size(random.Random(seed), 2)
    back = from_sympy(to_sympy(size))
    for values in VALUES[::7]:
        assert evaluate(back, values) == evaluate(size, values), f"{size} came back as {back}"


@pytest.mark.parametrize("seed", range(60))
def test_sympy_has_the_same_value(seed: int) -> None:
    size, _ = random_size(random.Random(seed), 3)
    expression = to_sympy(size)
    for values in VALUES[::31]:
        numbers = [(sympy.Symbol(name, integer=True, positive=True), value) for name, value in values.items()]
        assert int(expression.subs(numbers)) == evaluate(size, values), str(size)


@pytest.mark.parametrize("seed", range(300))
def test_index_arithmetic_uses_ranges_rightly(seed: int) -> None:
    """Divisions of index polynomials, simplified by the ranges of the axes, at every point of them."""
    generator = random.Random(seed)
    n = symbol("A")
    extents: list[Dim] = [generator.choice([1, 2, 3, 4, n, n * 2, n + 1]) for _ in range(3)]
    axes = [Axis(f"i{k}", extent) for k, extent in enumerate(extents)]
    index: Dim = generator.randint(-1, 3)
    for axis in axes:
        index = index + as_size(axis) * generator.choice([1, 1, 2, 3, 4, -1, n, *extents])
    divisor = generator.choice([1, 2, 3, 4, n, n * 2, *extents])
    for value in (1, 2, 3):
        ranges = [range(evaluate(extent, {"A": value})) for extent in extents]
        for point in itertools.product(*ranges):
            places: dict[sizes.Atom, Dim] = {**dict(zip(axes, point, strict=True)), sizes.SymbolAtom("A"): value}
            whole, by = sizes.substitute(index, places), sizes.substitute(divisor, places)
            assert isinstance(whole, int)
            assert isinstance(by, int)
            assert sizes.substitute(floordiv(index, divisor), places) == whole // by, f"{index} // {divisor}"
            assert sizes.substitute(mod(index, divisor), places) == whole % by, f"{index} % {divisor}"
            assert not sizes.is_nonnegative(index) or whole >= 0, f"{index} >= 0"


def test_equal_polynomials_are_equal_and_print_alike() -> None:
    a, b = symbol("A"), symbol("B")
    assert (a + b) * (a - b) == a * a - b * b
    assert hash((a + 1) * 2) == hash(2 * a + 2)
    assert str((a + 1) * (b + 2)) == "A*B+2*A+B+2"
    assert a - a == 0
    assert isinstance(a - a, int)


def test_division_that_is_exact() -> None:
    a, b = symbol("A"), symbol("B")
    assert (a * b * 6) // (a * 2) == b * 3
    assert (a * b + a) // (b + 1) == a
    assert divides(a + 1, a * a + a) == a
    assert divides(2, a) is None
    assert ceildiv(a * 4, 4) == a


def test_a_symbol_has_no_value_of_its_own() -> None:
    with pytest.raises(TypeError, match="symbolic"):
        range(symbol("A"))
    with pytest.raises(KeyError, match="A"):
        evaluate(symbol("A") + 1, {})


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="not a size"):
        from_sympy(sympy.sqrt(sympy.Symbol("A")))


def test_unify_collects_or_refuses() -> None:
    a, b = symbol("A"), symbol("B")
    with collect() as found:
        assert unify(a, 4, "rows") == 4
        assert unify(a, a, "rows") == a
        unify(a, b, "columns")
    assert found == [Constraint(a, 4, "rows"), Constraint(a, b, "columns")]
    with pytest.raises(ShapeError, match="cannot be equal"):
        unify(a + 1, a, "rows")
    with pytest.raises(ShapeError, match="cannot be equal"):
        unify(3, 4, "rows")
