"""Activation functions in pieces: rectifiers, and lines that are cut."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir import Tensor
from ..kernel.expression import Expr, apply
from ..op import Array, function
from ..record import record
from .activation import Activation, activate
from .elementwise import PartialDerivative, align


def _maximum(x: Expr, y: float) -> Expr:
    return apply("maximum", x, x.zero() + y if y else x.zero())


def _where_positive(x: Expr, then: Expr, otherwise: Expr) -> Expr:
    return apply("select", apply("greater", x, x.zero()), then, otherwise)


def _clip(x: Expr, low: float, high: float) -> Expr:
    return apply("minimum", apply("maximum", x, low), high)


@record
class Relu(Activation):
    """max(x, 0); its derivative at 0 is 0."""

    name: ClassVar[str] = "relu"

    def expression(self, *x: Expr) -> Expr:
        # The comparison is written so that NaN stays NaN, as in NumPy's maximum.
        return apply("select", apply("less_equal", x[0], x[0].zero()), x[0].zero(), x[0])

    def evaluate(self, *operands: Array) -> Array:
        return np.maximum(operands[0], 0)

    def partial(self, position: int, output: Tensor, *operands: Tensor) -> Tensor | None:
        return PartialDerivative(self, 0)(output)  # told from the result, so the operand need not be kept


@record
class LeakyRelu(Activation):
    """x for positive x, else `slope` x."""

    name: ClassVar[str] = "leaky_relu"
    slope: float = 0.01

    def expression(self, *x: Expr) -> Expr:
        return _where_positive(x[0], x[0], x[0] * self.slope)

    def evaluate(self, *operands: Array) -> Array:
        return np.where(operands[0] > 0, operands[0], operands[0] * operands[0].dtype.type(self.slope))


@record
class Elu(Activation):
    """x for positive x, else alpha (exp(x) - 1). Clevert, Unterthiner, Hochreiter 2015."""

    name: ClassVar[str] = "elu"
    alpha: float = 1.0

    def expression(self, *x: Expr) -> Expr:
        return _where_positive(x[0], x[0], self.alpha * apply("expm1", x[0]))

    def evaluate(self, *operands: Array) -> Array:
        x = operands[0]
        return np.where(x > 0, x, x.dtype.type(self.alpha) * np.expm1(np.minimum(x, 0)))


@record
class Selu(Activation):
    """scale * elu(x, alpha) with the constants that keep mean 0 and variance 1. Klambauer et al. 2017."""

    name: ClassVar[str] = "selu"
    scale: ClassVar[float] = 1.0507009873554805
    alpha: ClassVar[float] = 1.6732632423543772

    def expression(self, *x: Expr) -> Expr:
        return _where_positive(x[0], x[0] * self.scale, (self.scale * self.alpha) * apply("expm1", x[0]))

    def evaluate(self, *operands: Array) -> Array:
        x = operands[0]
        return (self.scale * np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))).astype(x.dtype)


@record
class Hardsigmoid(Activation):
    """x / 6 + 1/2, cut to [0, 1]."""

    name: ClassVar[str] = "hardsigmoid"

    def expression(self, *x: Expr) -> Expr:
        return _clip(x[0] * (1 / 6) + 0.5, 0.0, 1.0)

    def evaluate(self, *operands: Array) -> Array:
        return np.clip(operands[0] / 6 + 0.5, 0, 1).astype(operands[0].dtype)


@record
class Hardswish(Activation):
    """x hardsigmoid(x). Howard et al. 2019."""

    name: ClassVar[str] = "hardswish"

    def expression(self, *x: Expr) -> Expr:
        return x[0] * _clip(x[0] * (1 / 6) + 0.5, 0.0, 1.0)

    def evaluate(self, *operands: Array) -> Array:
        x = operands[0]
        return (x * np.clip(x / 6 + 0.5, 0, 1)).astype(x.dtype)


@record
class Clip(Activation):
    """x cut to [low, high]; NaN stays. The derivative is 1 inside and 0 outside and on the bounds."""

    name: ClassVar[str] = "clip"
    kinds: ClassVar[str] = "fi"
    low: float = -1.0
    high: float = 1.0

    def expression(self, *x: Expr) -> Expr:
        return _clip(x[0], self.low, self.high)

    def evaluate(self, *operands: Array) -> Array:
        kind = operands[0].dtype.type
        return np.minimum(np.maximum(operands[0], kind(self.low)), kind(self.high))

    def partial(self, position: int, output: Tensor, *operands: Tensor) -> Tensor | None:
        inside = (operands[0] > self.low) & (operands[0] < self.high)
        result: Tensor = inside.astype(output.dtype)
        return result


@function
def relu(x: Any) -> Tensor:
    """max(x, 0), elementwise."""
    return activate(Relu(), x)


@function
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """x where positive, else `negative_slope` * x."""
    return activate(LeakyRelu(float(negative_slope)), x)


@function
def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where positive, else `alpha` * (exp(x) - 1)."""
    return activate(Elu(float(alpha)), x)


@function
def selu(x: Any) -> Tensor:
    """The self-normalising exponential linear unit."""
    return activate(Selu(), x)


@function
def hardsigmoid(x: Any) -> Tensor:
    """x / 6 + 1/2, cut to [0, 1]."""
    return activate(Hardsigmoid(), x)


@function
def hardswish(x: Any) -> Tensor:
    """x times hardsigmoid(x)."""
    return activate(Hardswish(), x)


@function
def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x cut to [min_val, max_val]."""
    return clip(x, min_val, max_val)


@function
def relu6(x: Any) -> Tensor:
    """x cut to [0, 6]."""
    return clip(x, 0.0, 6.0)


@function
def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """x cut to [low, high]; either bound may be None, or a tensor."""
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        (operand,) = align(x)
        return Clip(low, high)(operand)
    from ..ir.node import FUNCTIONS

    if low is not None:
        x = FUNCTIONS["maximum"](x, low)
    result: Tensor = FUNCTIONS["minimum"](x, high) if high is not None else x
    return result
