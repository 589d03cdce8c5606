"""Normalisation by statistics over the batch, or over each sample, with running statistics that training steps keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.mode import by_mode
from ..ops.moments import mean, var
from ..ops.select import stop_gradient
from ..ops.shape import reshape
from ..ops.source import full
from ..sizes import product
from ..types import numpy_dtype
from . import init
from .buffer import assign, is_buffer
from .module import Module

Factor = float | Tensor


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = False, momentum: Factor = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """(x - mean) / √(var + eps) * weight + bias, for every channel of input (N, C, ...). Ioffe, Szegedy 2015.

    With `training`, programs compiled for training take the batch's mean and variance and those for inference the running ones,
    and running statistics that are buffers are assigned (1 - momentum) old + momentum new, the variance unbiased. Without it
    the running ones are taken always. Where there are none, the batch's are. Raises ShapeError for an input without channels.
    """
    axes = (0, *range(2, input.ndim))
    return _normalised("batch_norm", input, axes, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None, bias: Tensor | None = None,
    use_input_stats: bool = True, momentum: Factor = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """As `batch_norm` with the statistics of every sample and channel of input (N, C, ...). Ulyanov, Vedaldi, Lempitsky 2016."""
    axes = tuple(range(2, input.ndim))
    return _normalised("instance_norm", input, axes, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def _normalised(
    name: str, x: Tensor, axes: tuple[int, ...], running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None, bias: Tensor | None,
    training: bool, momentum: Factor, eps: float,
) -> Tensor:  # fmt: skip
    if x.ndim < 2 or not axes:
        raise ShapeError(f"{name}: needs an input of shape (N, C, ...), got {describe(x)}")
    _check_channels(name, x, running_mean, running_var, weight, bias)
    centre, spread = mean(x, axes, keepdims=True), var(x, axes, keepdims=True)
    if running_mean is not None and running_var is not None:
        own = _channelwise(running_mean, x), _channelwise(running_var, x)
        if training:
            _keep(x, axes, centre, spread, running_mean, running_var, momentum)
        centre, spread = (by_mode(centre, own[0]), by_mode(spread, own[1])) if training else own
    scaled: Tensor = (x - centre) * (spread + eps).rsqrt()
    scaled = scaled if weight is None else scaled * _channelwise(weight, x)
    return scaled if bias is None else scaled + _channelwise(bias, x)


def _check_channels(name: str, x: Tensor, *per_channel: Tensor | None) -> None:
    for tensor in per_channel:
        if tensor is not None and (tensor.ndim != 1 or (isinstance(x.shape[1], int) and tensor.shape[0] != x.shape[1])):
            raise ShapeError(f"{name}: the {x.shape[1]} channels of the input {describe(x)} need statistics and weights of as many, got {describe(tensor)}")


def _channelwise(x: Tensor, like: Tensor) -> Tensor:
    return reshape(x, (1, -1, *[1] * (like.ndim - 2)))


def _keep(x: Tensor, axes: tuple[int, ...], centre: Tensor, spread: Tensor, running_mean: Tensor, running_var: Tensor, momentum: Factor) -> None:
    """Assign the running statistics of the next step."""
    count = full((), product(x.shape[axis] for axis in axes), x.dtype)
    for buffer, value in ((running_mean, centre), (running_var, spread * (count / (count - 1.0)))):
        if is_buffer(buffer):
            per_channel = reshape(mean(value, 0), buffer.shape) if 0 not in axes else reshape(value, buffer.shape)
            assign(buffer, buffer + (stop_gradient(per_channel) - buffer) * momentum)


class _Norm(Module):
    """The base: weight, bias and running statistics of every channel, under PyTorch's names."""

    ranks: ClassVar[tuple[int, ...]]
    counts_batches: ClassVar[bool] = True
    normalise: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        dtype: Any = "float32",
    ) -> None:  # fmt: skip
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = init.ones_(init.blank("weight", (num_features,), dtype)) if affine else None
        self.bias = init.blank("bias", (num_features,), dtype) if affine else None
        of = numpy_dtype(dtype)
        self.register_buffer("running_mean", np.zeros(num_features, of) if track_running_stats else None)
        self.register_buffer("running_var", np.ones(num_features, of) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if track_running_stats else None)

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.ranks:
            raise ShapeError(f"{type(self).__name__}: needs an input of {' or '.join(map(str, self.ranks))} axes, got {describe(input)}")
        normalise = type(self).normalise
        return normalise(input, self.running_mean, self.running_var, self.weight, self.bias, True, self._factor(input.dtype), self.eps)

    def _factor(self, dtype: str) -> Factor:
        """The share of the new statistics: `momentum`, or for the mean of all batches one in their number. Counts the batch."""
        tracked = self.num_batches_tracked
        if tracked is None or self.running_mean is None:
            return 0.0
        if not self.counts_batches:
            return self.momentum or 0.0
        assign(tracked, tracked + 1, along=self.running_mean)
        return 1.0 / (tracked + 1).astype(dtype) if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, track_running_stats={self.track_running_stats}"


class BatchNorm1d(_Norm):
    """`batch_norm` of (N, C) or (N, C, L) with learned `weight` and `bias` and kept `running_mean` and `running_var`, all (C,)."""

    ranks = (2, 3)
    normalise = staticmethod(batch_norm)


class BatchNorm2d(_Norm):
    """`batch_norm` of (N, C, H, W) with learned `weight` and `bias` and kept `running_mean` and `running_var`, all (C,)."""

    ranks = (4,)
    normalise = staticmethod(batch_norm)


class BatchNorm3d(_Norm):
    """`batch_norm` of (N, C, D, H, W) with learned `weight` and `bias` and kept `running_mean` and `running_var`, all (C,)."""

    ranks = (5,)
    normalise = staticmethod(batch_norm)


class _InstanceNorm(_Norm):
    counts_batches = False
    normalise = staticmethod(instance_norm)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = False, track_running_stats: bool = False,
        dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)


class InstanceNorm1d(_InstanceNorm):
    """`instance_norm` of (N, C, L); learned `weight` and `bias` and kept statistics only if asked for."""

    ranks = (3,)


class InstanceNorm2d(_InstanceNorm):
    """`instance_norm` of (N, C, H, W); learned `weight` and `bias` and kept statistics only if asked for."""

    ranks = (4,)
