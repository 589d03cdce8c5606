"""Activation functions as modules. The argument `inplace` is taken for PyTorch's sake: memory is the compiler's matter."""

from __future__ import annotations

from collections.abc import Callable

from ..ir import Tensor, as_tensor
from ..ops import activation as smooth
from ..ops import rectifier
from ..ops import softmax as along_axis
from .module import Module


def softmax(input: Tensor, dim: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`."""
    return along_axis.softmax(input, dim)


def log_softmax(input: Tensor, dim: int = -1) -> Tensor:
    """log(softmax(x)) along `dim`."""
    return along_axis.log_softmax(input, dim)


def softplus(input: Tensor, beta: float = 1.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, exact for large x too, so that PyTorch's `threshold` is not needed."""
    x = as_tensor(input)
    result: Tensor = x.softplus() if beta == 1 else (x * beta).softplus() / beta
    return result


class Activation(Module):
    """The base: one function of one tensor, with the options that `extra_repr` tells."""

    function: Callable[..., Tensor]
    options: dict[str, float | str]

    def __init_subclass__(cls, function: Callable[..., Tensor]) -> None:
        cls.function = staticmethod(function)

    def __init__(self) -> None:
        self.options = {}

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, **self.options)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class Rectifier(Activation, function=rectifier.relu):
    """The base of those that take `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()


class ReLU(Rectifier, function=rectifier.relu):
    """max(x, 0)"""


class ReLU6(Rectifier, function=rectifier.relu6):
    """x cut to [0, 6]."""


class SELU(Rectifier, function=rectifier.selu):
    """The self-normalising exponential linear unit. Klambauer et al. 2017."""


class SiLU(Rectifier, function=smooth.silu):
    """x σ(x). Elfwing, Uchibe, Doya 2017."""


class Mish(Rectifier, function=smooth.mish):
    """x tanh(softplus(x)). Misra 2019."""


class Hardswish(Rectifier, function=rectifier.hardswish):
    """x hardsigmoid(x). Howard et al. 2019."""


class Hardsigmoid(Rectifier, function=rectifier.hardsigmoid):
    """x / 6 + 1/2, cut to [0, 1]."""


class Sigmoid(Activation, function=smooth.sigmoid):
    """1 / (1 + exp(-x))"""


class LogSigmoid(Activation, function=smooth.logsigmoid):
    """log(1 / (1 + exp(-x)))"""


class Tanh(Activation, function=smooth.tanh):
    """The hyperbolic tangent."""


class Softsign(Activation, function=smooth.softsign):
    """x / (1 + |x|)"""


class LeakyReLU(Activation, function=rectifier.leaky_relu):
    """x where positive, else `negative_slope` x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.options = {"negative_slope": negative_slope}


class ELU(Activation, function=rectifier.elu):
    """x where positive, else alpha (exp(x) - 1). Clevert, Unterthiner, Hochreiter 2015."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.options = {"alpha": alpha}


class GELU(Activation, function=smooth.gelu):
    """x Φ(x), or its tanh form with `approximate="tanh"`. Hendrycks, Gimpel 2016."""

    def __init__(self, approximate: str = "none") -> None:
        self.options = {"approximate": approximate}


class Hardtanh(Activation, function=rectifier.hardtanh):
    """x cut to [min_val, max_val]."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self.options = {"min_val": min_val, "max_val": max_val}


class Softplus(Activation, function=softplus):
    """log(1 + exp(beta x)) / beta"""

    def __init__(self, beta: float = 1.0) -> None:
        self.options = {"beta": beta}


class Softmax(Activation, function=softmax):
    """exp(x) / sum(exp(x)) along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        self.options = {"dim": dim}


class LogSoftmax(Activation, function=log_softmax):
    """log(softmax(x)) along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        self.options = {"dim": dim}
