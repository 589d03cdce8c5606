"""Rules of algebra, as data. A test proves every row between scalars with sympy and tries every row.

A row without `ulp` and `differs` gives the same bits for every value, NaN, infinities and zeros of both signs included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor
from graphdl.ir.node import FUNCTIONS
from graphdl.ops.source import full_value
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import Bindings, Literal, Number, Rule, RuleTable, functions, numbers, rewrite, variables

# Any tensor is x, y, z; a floating one f, g; an integer one n, m; a condition p. Numbers are c of any kind, d, e floating, i, j integer.
x, y, z = variables("x y z")
f, g = variables("f g", "f")
n, m = variables("n m", "i")
(p,) = variables("p", "b")
(c,) = numbers("c")
d, e = numbers("d e", "f")
i, j = numbers("i j", "i")
maximum, minimum, where, relu, magnitude, sign, negate = functions("maximum minimum where relu abs sign negative")
equal, not_equal, less, less_equal, greater, greater_equal = functions("equal not_equal less less_equal greater greater_equal")
floor, ceil, round_, trunc = functions("floor ceil round trunc")
exp, log, log1p, expm1, sqrt, rsqrt, sigmoid, softplus = functions("exp log log1p expm1 sqrt rsqrt sigmoid softplus")
softmax, logsigmoid = functions("softmax logsigmoid")

ZERO_SIGN = "in the sign of zeros"
BETTER = "more accurate, and finite where the old side overflows"
ROOT_OF_INFINITY = "at -inf, which gives NaN as it does in NumPy's x ** 0.5, and in the sign of zeros"


def is_power_of_two(number: Number) -> Callable[[Bindings], bool]:
    """The condition that a number of the pattern is a power of two, of either sign."""
    return lambda found: abs(math.frexp(full_value(found[number]))[0]) == 0.5


def log_softmax(found: Bindings, node: Node) -> Tensor:
    """log_softmax along the axis of the softmax that matched."""
    result: Tensor = FUNCTIONS["log_softmax"](found[f], found[softmax_of_f].node.op.axis)
    return result


def zero_or_one(found: Bindings, node: Node) -> Tensor:
    """The condition in the dtype of the choice."""
    result: Tensor = FUNCTIONS["astype"](found[p], node.output.dtype)
    return result


softmax_of_f = softmax(f)
RULES = (
    # Neutral elements
    Rule("multiply_one", x * 1, x),
    Rule("multiply_minus_one", x * -1, -x),
    Rule("divide_one", f / 1, f),
    Rule("divide_minus_one", f / -1, -f),
    Rule("add_minus_zero", f + -0.0, f),
    Rule("add_zero", f + 0.0, f, differs=ZERO_SIGN),
    Rule("add_zero_integer", n + 0, n),
    Rule("subtract_zero", x - 0, x),
    Rule("subtract_from_zero", 0 - f, -f, differs=ZERO_SIGN),
    Rule("subtract_from_zero_integer", 0 - n, -n),
    Rule("subtract_itself", n - n, Literal(0)),
    Rule("multiply_zero", n * 0, Literal(0)),
    # Numbers
    Rule("subtract_number", f - d, f + -d),
    Rule("divide_by_power_of_two", f / d, f * (1 / d), when=is_power_of_two(d)),
    Rule("add_numbers", (n + i) + j, n + (i + j)),
    Rule("multiply_integers", (n * i) * j, n * (i * j)),
    Rule("multiply_numbers", (f * d) * e, f * (d * e), ulp=1.5),
    Rule("divide_product", (f * d) / e, f * (d / e), ulp=1.5),
    Rule("multiply_quotient", (f / d) * e, f * (e / d), ulp=1.5),
    Rule("divide_quotient", (f / d) / e, f / (d * e), ulp=1.5),
    Rule("multiply_reciprocal", f * (1 / g), f / g, ulp=0.5),
    # Signs
    Rule("negate_twice", negate(-x), x),
    Rule("add_negative", x + -y, x - y),
    Rule("subtract_negative", x - -y, x + y),
    Rule("multiply_negatives", -x * -y, x * y),
    Rule("divide_negatives", -f / -g, f / g),
    Rule("negative_times_number", -x * c, x * -c),
    Rule("negate_multiple", -(x * c), x * -c),
    Rule("negative_by_number", -f / d, f / -d),
    Rule("negate_fraction", -(f / d), f / -d),
    Rule("negative_factor", -x * y, -(x * y)),
    Rule("negative_dividend", -f / g, -(f / g)),
    Rule("negate_difference", -(f - g), g - f, differs=ZERO_SIGN),
    Rule("negate_difference_integer", -(n - m), m - n),
    Rule("abs_negative", magnitude(-f), magnitude(f)),
    Rule("abs_square", magnitude(f * f), f * f),
    # What changes nothing the second time
    Rule("abs_abs", magnitude(magnitude(x)), magnitude(x)),
    Rule("relu_abs", relu(magnitude(f)), magnitude(f)),
    Rule("relu_relu", relu(relu(f)), relu(f)),
    Rule("sign_sign", sign(sign(x)), sign(x)),
    Rule("floor_floor", floor(floor(f)), floor(f)),
    Rule("ceil_ceil", ceil(ceil(f)), ceil(f)),
    Rule("round_round", round_(round_(f)), round_(f)),
    Rule("trunc_trunc", trunc(trunc(f)), trunc(f)),
    Rule("maximum_itself", maximum(x, x), x),
    Rule("minimum_itself", minimum(x, x), x),
    Rule("maximum_again", maximum(maximum(x, y), y), maximum(x, y), differs=ZERO_SIGN),
    Rule("minimum_again", minimum(minimum(x, y), y), minimum(x, y), differs=ZERO_SIGN),
    # Powers
    Rule("power_zero", f**0, Literal(1)),
    Rule("power_one", f**1, f),
    Rule("power_two", f**2, f * f, ulp=0.5),
    Rule("power_three", f**3, (f * f) * f, ulp=1.5),
    Rule("power_four", f**4, (f * f) * (f * f), ulp=2),
    Rule("power_minus_one", f**-1, 1 / f, ulp=0.5),
    Rule("power_minus_two", f**-2, 1 / (f * f), ulp=1.5),
    Rule("power_half", f**0.5, sqrt(f), ulp=0.5, differs=ROOT_OF_INFINITY),
    Rule("power_minus_half", f**-0.5, rsqrt(f), ulp=1.5, differs=ROOT_OF_INFINITY),
    Rule("reciprocal_root", 1 / sqrt(f), rsqrt(f), ulp=1.5),
    Rule("root_of_square", sqrt(f * f), magnitude(f), differs=BETTER),
    # Functions that keep the digits which their parts lose
    Rule("log_exp", log(exp(f)), f, differs=BETTER),
    Rule("log_one_plus", log(f + 1), log1p(f), differs=BETTER),
    Rule("log_one_minus", log(1 - f), log1p(-f), differs=BETTER),
    Rule("log1p_exp", log1p(exp(f)), softplus(f), differs=BETTER),
    Rule("exp_minus_one", exp(f) + -1, expm1(f), differs=BETTER),
    Rule("logistic", 1 / (exp(-f) + 1), sigmoid(f), differs=BETTER),
    Rule("log_sigmoid", log(sigmoid(f)), logsigmoid(f), differs=BETTER),
    Rule("log_of_softmax", log(softmax_of_f), log_softmax, differs=BETTER),
    # Choices
    Rule("where_not", where(~p, x, y), where(p, y, x)),
    Rule("where_then", where(p, where(p, x, y), z), where(p, x, z)),
    Rule("where_else", where(p, x, where(p, y, z)), where(p, x, z)),
    Rule("where_one_zero", where(p, Literal(1), Literal(0)), zero_or_one),
    # Logic and comparisons
    Rule("not_twice", ~~x, x),
    Rule("and_itself", x & x, x),
    Rule("or_itself", x | x, x),
    Rule("and_true", p & True, p),
    Rule("and_false", p & False, Literal(False)),
    Rule("or_false", p | False, p),
    Rule("or_true", p | True, Literal(True)),
    Rule("not_equal_to", ~equal(x, y), not_equal(x, y)),
    Rule("not_different", ~not_equal(x, y), equal(x, y)),
    Rule("not_less", ~less(n, m), greater_equal(n, m)),
    Rule("not_less_equal", ~less_equal(n, m), greater(n, m)),
    Rule("not_greater", ~greater(n, m), less_equal(n, m)),
    Rule("not_greater_equal", ~greater_equal(n, m), less(n, m)),
    Rule("less_itself", less(x, x), Literal(False)),
    Rule("greater_itself", greater(x, x), Literal(False)),
    Rule("equal_itself", equal(n, n), Literal(True)),
    Rule("less_equal_itself", less_equal(n, n), Literal(True)),
    Rule("greater_equal_itself", greater_equal(n, n), Literal(True)),
)
TABLE = RuleTable(RULES)


@record
class Algebra(Pass):
    """Expressions by the rules of `RULES`: x * 1 -> x, (x * 2) * 3 -> x * 6, log(softmax(x)) -> log_softmax(x)."""

    name: ClassVar[str] = "algebra"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 30

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, TABLE.apply, self.name)
