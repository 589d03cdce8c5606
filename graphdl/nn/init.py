"""Initial values of parameters: seeded, counter-based, the same for the same seed and order of declaration.

The functions return the parameter, as those of `torch.nn.init`. Random numbers are drawn when somebody first reads the parameter, from a stream
that was chosen when it was declared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ir import Tensor
from ..memory import placed_zeros
from ..ops.source import parameter_over
from ..random import initial_values
from ..types import dtype_name, numpy_dtype

Array = np.ndarray[Any, Any]
_hollow: ContextVar[bool] = ContextVar("parameters without memory", default=False)


@contextmanager
def hollow() -> Iterator[None]:
    """Make parameters without memory, as all their values come from a file: they read as zeros, and no numbers are drawn for them."""
    token = _hollow.set(True)
    try:
        yield
    finally:
        _hollow.reset(token)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Numbers spread evenly over [a, b)."""
    return _drawn(tensor, lambda generator, array: _scaled(array, generator.random, b - a, a))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Numbers of the normal distribution."""
    return _drawn(tensor, lambda generator, array: _scaled(array, generator.standard_normal, std, mean))


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Numbers of the normal distribution, drawn again until they lie in [a, b]."""

    def draw(generator: np.random.Generator, array: Array) -> None:
        drawn = np.asarray(mean + std * generator.standard_normal(array.shape))
        while (outside := (drawn < a) | (drawn > b)).any():
            drawn[outside] = mean + std * generator.standard_normal(int(outside.sum()))
        np.copyto(array, drawn, casting="unsafe")

    return _drawn(tensor, draw)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere."""
    return tensor if _hollow.get() else _fill(tensor, np.asarray(val))


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    return _fill(tensor, np.eye(*_matrix(tensor)))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform with variance 2 gain² / (fan_in + fan_out). Glorot, Bengio 2010."""
    bound = gain * math.sqrt(6.0 / sum(fans(_extents(tensor))))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with variance 2 gain² / (fan_in + fan_out). Glorot, Bengio 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(_extents(tensor)))))


def kaiming_uniform_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Uniform with variance gain² / fan. He, Zhang, Ren, Sun 2015. `a` is the slope of a leaky ReLU."""
    bound = math.sqrt(3.0) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Normal with variance gain² / fan. He, Zhang, Ren, Sun 2015. `a` is the slope of a leaky ReLU."""
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """A matrix with orthonormal rows or columns, whichever are fewer, times `gain`. Saxe, McClelland, Ganguli 2013."""
    rows, columns = _matrix(tensor)

    def draw(generator: np.random.Generator, array: Array) -> None:
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))  # the sign makes the distribution uniform
        np.copyto(array, (gain * (q if rows >= columns else q.T)).reshape(array.shape), casting="unsafe")

    return _drawn(tensor, draw)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity. Raises ValueError for an unknown one."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
    if nonlinearity not in gains:
        raise ValueError(f"no gain is known for {nonlinearity!r}: use one of {', '.join([*gains, 'leaky_relu'])}")
    return gains[nonlinearity]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Inputs and outputs of each unit of a weight (out, in, *kernel). Raises ShapeError below two axes."""
    if len(shape) < 2:
        raise ShapeError(f"a weight of shape {tuple(shape)} has no fan: it needs at least two axes")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def blank(name: str, shape: Sequence[int], dtype: Any = "float32") -> Tensor:
    """A parameter of zeros, yet to be initialised."""
    held = numpy_dtype(dtype_name(dtype))
    return parameter_over(np.broadcast_to(np.zeros((), held), tuple(shape)) if _hollow.get() else placed_zeros(shape, held), name)


def _kaiming(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is fan_in or fan_out, not {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans(_extents(tensor))[mode == "fan_out"])


def _extents(tensor: Tensor) -> tuple[int, ...]:
    """The shape, as numbers."""
    extents: tuple[int, ...] = tensor.node.op.state.array.shape
    return extents


def _matrix(tensor: Tensor) -> tuple[int, int]:
    shape = _extents(tensor)
    if len(shape) < 2:
        raise ShapeError(f"needs a matrix, got shape {shape}")
    return shape[0], math.prod(shape[1:])


def _fill(tensor: Tensor, values: Array) -> Tensor:
    tensor.node.op.state.replace(values)
    return tensor


def _drawn(tensor: Tensor, draw: Callable[[np.random.Generator, Array], None]) -> Tensor:
    """Values from the next stream, when they are first read: many are drawn anew, or come from a file, before anybody does."""
    if not _hollow.get():
        tensor.node.op.state.begin_with(partial(draw, initial_values()))
    return tensor


def _scaled(array: Array, draw: Callable[..., Any], scale: float, offset: float) -> None:
    """offset + scale * what is drawn, in the array itself where the generator knows its dtype."""
    held = array if array.dtype.name in ("float32", "float64") else np.empty(array.shape, np.float32)
    draw(dtype=held.dtype, out=held)
    held *= scale
    held += offset
    if held is not array:
        np.copyto(array, held, casting="unsafe")
