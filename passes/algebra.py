"""Rules of algebra, as data. A test proves every row between scalars with sympy and tries every row.

A row without `ulp` and `differs` gives the same bits for every value, NaN, infinities and zeros of both signs included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from graphdl.ir import Graph, Node, Tensor
from graphdl.ir.node import FUNCTIONS
from graphdl.ops.source import full_value
from graphdl.pipeline import Pass
from graphdl.rewrite import Bindings, Number, Rule, RuleTable, functions, numbers, rewrite, variables

x, y, z = variables("x y z")
f, g = variables("f g", "f")
n, m = variables("n m", "i")
b, p = variables("b p", "b")
c, d = numbers("c d")
e, h = numbers("e h", "f")
i, j = numbers("i j", "i")
maximum, minimum, where, relu, magnitude, sign = functions("maximum minimum where relu abs sign")
equal, not_equal, less, less_equal, greater, greater_equal = functions("equal not_equal less less_equal greater greater_equal")
floor, ceil, round_, trunc = functions("floor ceil round trunc")
exp, log, log1p, expm1, sqrt, rsqrt, sigmoid, softplus, logsigmoid = functions("exp log log1p expm1 sqrt rsqrt sigmoid softplus logsigmoid")
softmax, cast = functions("softmax cast")
ZERO_SIGN = "the sign of a zero"
BETTER = "the new side is the more accurate one, and finite where the old one overflows"


def is_power_of_two(number: Number) -> Callable[[Bindings], bool]:
    """The condition that a number of the pattern is a power of two, of either sign."""
    return lambda found: abs(math.frexp(full_value(found[number]))[0]) == 0.5


def log_softmax(found: Bindings, node: Node) -> Tensor:
    """log_softmax along the axis of the softmax that matched."""
    result: Tensor = FUNCTIONS["log_softmax"](found[LOG_OF_SOFTMAX.operands[0]].node.operands[0], found[LOG_OF_SOFTMAX.operands[0]].node.op.axis)
    return result


def as_number(found: Bindings, node: Node) -> Tensor:
    """The condition as 0 and 1."""
    result: Tensor = FUNCTIONS["astype"](found[p], node.output.dtype)
    return result


LOG_OF_SOFTMAX: Any = log(softmax(x))

RULES = (
    # One and zero
    Rule("multiply_one", x * 1, x),
    Rule("divide_one", x / 1, x),
    Rule("multiply_minus_one", f * -1.0, -f),
    Rule("divide_minus_one", x / -1, -x),
    Rule("add_minus_zero", f + -0.0, f),
    Rule("add_zero", f + 0.0, f, differs=ZERO_SIGN),
    Rule("subtract_zero", x - 0, x),
    Rule("zero_subtract", 0.0 - f, -f, differs=ZERO_SIGN),
    Rule("add_zero_integer", n + 0, n),
    Rule("multiply_zero_integer", n * 0, 0 * n if False else n - n),
)
