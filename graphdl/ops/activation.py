"""Smooth activation functions, declared by their scalar expressions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from ..formula import Formula, call
from ..ir import Node, Tensor
from ..kernel import interpretation
from ..kernel.expression import Expr, apply
from ..op import Array, Sample, function, sample_array
from ..record import record
from .elementwise import Elementwise, align


class Activation(Elementwise):
    """The base of activations: one floating operand, samples on both sides of zero."""

    name: ClassVar[str]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for shape in ((3, 5), (9,), (), (0,)):
            yield Sample(cls(), (sample_array(*shape, low=-4.0, high=4.0),))


def activate(op: Elementwise, x: Any) -> Tensor:
    """The op on x as a floating tensor."""
    return op(*align(x, floating=True))


@record
class Sigmoid(Activation):
    """1 / (1 + exp(-x)); its derivative is told from the result: y (1 - y)."""

    name: ClassVar[str] = "sigmoid"
    function: ClassVar[str] = "sigmoid"

    def expression(self, *x: Expr) -> Expr:
        return apply("sigmoid", x[0])

    def evaluate(self, *operands: Array) -> Array:
        return interpretation.sigmoid(operands[0])

    def partial(self, position: int, output: Tensor, *operands: Tensor) -> Tensor | None:
        return output * (1 - output)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return call("σ", *operands)


@record
class Tanh(Activation):
    """The hyperbolic tangent; its derivative is told from the result: 1 - y²."""

    name: ClassVar[str] = "tanh"
    function: ClassVar[str] = "tanh"

    def expression(self, *x: Expr) -> Expr:
        return apply("tanh", x[0])

    def evaluate(self, *operands: Array) -> Array:
        return np.tanh(operands[0])

    def partial(self, position: int, output: Tensor, *operands: Tensor) -> Tensor | None:
        return 1 - output * output


@record
class Gelu(Activation):
    """x Φ(x), with Φ the normal distribution function, or its tanh approximation. Hendrycks, Gimpel 2016."""

    name: ClassVar[str] = "gelu"
    approximate: str = "none"

    def expression(self, *x: Expr) -> Expr:
        z = x[0]
        if self.approximate == "tanh":
            return 0.5 * z * (1 + apply("tanh", math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z)))
        return 0.5 * z * (1 + apply("erf", z * math.sqrt(0.5)))

    def evaluate(self, *operands: Array) -> Array:
        x = operands[0]
        if self.approximate == "tanh":
            return (0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))).astype(x.dtype)
        return (0.5 * x * (1 + interpretation.erf(x / np.sqrt(2)))).astype(x.dtype)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield from super().samples()
        yield Sample(cls("tanh"), (sample_array(4, 3),))


@record
class Silu(Activation):
    """x σ(x), also called swish. Elfwing, Uchibe, Doya 2017."""

    name: ClassVar[str] = "silu"

    def expression(self, *x: Expr) -> Expr:
        return x[0] * apply("sigmoid", x[0])

    def evaluate(self, *operands: Array) -> Array:
        return operands[0] * interpretation.sigmoid(operands[0])


@record
class Mish(Activation):
    """x tanh(softplus(x)). Misra 2019."""

    name: ClassVar[str] = "mish"

    def expression(self, *x: Expr) -> Expr:
        return x[0] * apply("tanh", apply("softplus", x[0]))

    def evaluate(self, *operands: Array) -> Array:
        return operands[0] * np.tanh(interpretation.softplus(operands[0]))


@record
class Softsign(Activation):
    """x / (1 + |x|)"""

    name: ClassVar[str] = "softsign"

    def expression(self, *x: Expr) -> Expr:
        return x[0] / (1 + apply("abs", x[0]))

    def evaluate(self, *operands: Array) -> Array:
        return operands[0] / (1 + np.abs(operands[0]))


@record
class LogSigmoid(Activation):
    """log σ(x) = -softplus(-x)"""

    name: ClassVar[str] = "logsigmoid"

    def expression(self, *x: Expr) -> Expr:
        return -apply("softplus", -x[0])

    def evaluate(self, *operands: Array) -> Array:
        return -interpretation.softplus(-operands[0])


@function
def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x)), elementwise."""
    return activate(Sigmoid(), x)


@function
def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent, elementwise."""
    return activate(Tanh(), x)


@function
def gelu(x: Any, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x; `approximate="tanh"` for the tanh form."""
    return activate(Gelu(approximate), x)


@function
def silu(x: Any) -> Tensor:
    """x times sigmoid(x)."""
    return activate(Silu(), x)


@function
def mish(x: Any) -> Tensor:
    """x times tanh(softplus(x))."""
    return activate(Mish(), x)


@function
def softsign(x: Any) -> Tensor:
    """x / (1 + |x|)"""
    return activate(Softsign(), x)


@function
def logsigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)), without underflow."""
    return activate(LogSigmoid(), x)
