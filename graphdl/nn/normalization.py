"""Normalisation over features: of layers, by root mean square, in groups of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.moments import mean, var
from ..ops.shape import reshape
from ..types import numpy_dtype
from . import init
from .module import Module, told


def layer_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / √(var + eps) over the last axes, of `normalized_shape`, times weight, plus bias. Ba, Kiros, Hinton 2016."""
    axes = _last_axes(input, normalized_shape, "layer_norm")
    return _affine(_standardise(input, axes, eps), weight, bias)


def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """x / √(mean x² + eps) over the last axes, times weight. Zhang, Sennrich 2019. `eps` is the dtype's epsilon unless given."""
    axes = _last_axes(input, normalized_shape, "rms_norm")
    small = float(np.finfo(numpy_dtype(input.dtype)).eps) if eps is None else eps
    return _affine(input * (mean(input * input, axes, keepdims=True) + small).rsqrt(), weight, None)


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Each sample's channels standardised in groups, for input (N, C, ...), weight and bias (C,). Wu, He 2018.

    Raises ShapeError where the groups do not divide the channels.
    """
    channels = input.shape[1] if input.ndim > 1 else 0
    if not isinstance(channels, int) or num_groups < 1 or channels % num_groups:
        raise ShapeError(f"group_norm: {num_groups} groups do not divide the channels of the input {describe(input)}")
    grouped = reshape(input, (input.shape[0], num_groups, channels // num_groups, *input.shape[2:]))
    result = reshape(_standardise(grouped, range(2, grouped.ndim), eps), input.shape)
    per_channel = (channels, *[1] * (input.ndim - 2))
    return _affine(result, *(None if scale is None else reshape(scale, per_channel) for scale in (weight, bias)))


def _standardise(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    result: Tensor = (x - mean(x, axes, keepdims=True)) * (var(x, axes, keepdims=True) + eps).rsqrt()
    return result


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    scaled = x if weight is None else x * weight
    return scaled if bias is None else scaled + bias


def _last_axes(input: Tensor, normalized_shape: Sequence[int], name: str) -> tuple[int, ...]:
    count = len(normalized_shape)
    if count == 0 or count > input.ndim or any(isinstance(a, int) and a != b for a, b in zip(input.shape[-count:], normalized_shape, strict=True)):
        raise ShapeError(f"{name}: the last axes of the input {describe(input)} are not {tuple(normalized_shape)}")
    return tuple(range(input.ndim - count, input.ndim))


class LayerNorm(Module):
    """`layer_norm` over the last axes with learned weight and bias of `normalized_shape`."""

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True, dtype: Any = "float32"
    ) -> None:
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = eps
        self.weight = init.ones_(init.blank("weight", self.normalized_shape, dtype)) if elementwise_affine else None
        self.bias = init.blank("bias", self.normalized_shape, dtype) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class RMSNorm(Module):
    """`rms_norm` over the last axes with a learned weight of `normalized_shape`."""

    def __init__(self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True, dtype: Any = "float32") -> None:
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = eps
        self.weight = init.ones_(init.blank("weight", self.normalized_shape, dtype)) if elementwise_affine else None

    def forward(self, input: Tensor) -> Tensor:
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class GroupNorm(Module):
    """`group_norm` with learned weight and bias for each channel."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, dtype: Any = "float32") -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise ShapeError(f"{told('GroupNorm')}: {num_groups} groups do not divide {num_channels} channels")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.weight = init.ones_(init.blank("weight", (num_channels,), dtype)) if affine else None
        self.bias = init.blank("bias", (num_channels,), dtype) if affine else None

    def forward(self, input: Tensor) -> Tensor:
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.weight is not None}"


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)
