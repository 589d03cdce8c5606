"""Resampling of spatial axes: by the nearest place, by interpolation, and channels laid out as places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.resize import repeat_nearest, resample_linear
from ..ops.shape import reshape, transpose
from ..sizes import Dim
from .module import Module

AXES = {"nearest": None, "linear": 1, "bilinear": 2, "trilinear": 3}  # how many spatial axes a mode is for


def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
    """The spatial axes of input (N, C, ...) resized to `size`, or by `scale_factor` (rounded down).

    Modes are nearest, linear, bilinear and trilinear, the last three for one, two and three axes. With `align_corners` the
    outermost places stay where they are, else places are cells that cover the axis. Raises TypeRuleError for options that do
    not fit, ShapeError for sizes that cannot be told.
    """
    spatial = input.ndim - 2
    if mode not in AXES or AXES[mode] not in (None, spatial) or (mode == "nearest" and align_corners is not None):
        raise TypeRuleError(f"interpolate: mode {mode!r} with align_corners={align_corners} is not for {describe(input)}; there are {', '.join(AXES)}")
    if (size is None) == (scale_factor is None) or spatial < 1:
        raise TypeRuleError(f"interpolate: give either size or scale_factor, for an input with spatial axes; got {size}, {scale_factor}, {describe(input)}")
    wanted, factors = _per_axis(size, spatial), _per_axis(scale_factor, spatial)
    for k, (to, factor) in enumerate(zip(wanted, factors, strict=True)):
        axis = k + 2
        target = to if factor is None else _scaled(input.shape[axis], factor)
        scale = None if factor is None or isinstance(factor, int) else float(factor)
        input = repeat_nearest(input, target, axis, scale) if mode == "nearest" else resample_linear(input, target, axis, bool(align_corners), scale)
    return input


def _per_axis(given: Any, count: int) -> tuple[Any, ...]:
    numbers = tuple(given) if isinstance(given, (tuple, list)) else (given,) * count
    if len(numbers) != count:
        raise TypeRuleError(f"interpolate: {given} has {len(numbers)} entries for {count} spatial axes")
    return numbers


def _scaled(size: Dim, factor: float) -> Dim:
    if isinstance(size, int):
        return int(size * factor)
    if factor != int(factor):
        raise ShapeError(f"interpolate: the symbolic size {size} times {factor} is not known to be whole: give a whole factor or the size")
    return size * int(factor)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as places: (N, C r², H, W) to (N, C, H r, W r). Shi et al. 2016. Raises ShapeError where r² does not divide them."""
    r = upscale_factor
    if input.ndim != 4 or not isinstance(input.shape[1], int) or r < 1 or input.shape[1] % r**2:
        raise ShapeError(f"pixel_shuffle: the channels of an input (N, C, H, W) must be a multiple of {r}², got {describe(input)}")
    n, channels, height, width = input.shape
    apart = reshape(input, (n, channels // r**2, r, r, height, width))
    return reshape(transpose(apart, (0, 1, 4, 2, 5, 3)), (n, channels // r**2, height * r, width * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Places as channels, the inverse of `pixel_shuffle`: (N, C, H r, W r) to (N, C r², H, W)."""
    r = downscale_factor
    if input.ndim != 4 or any(isinstance(size, int) and size % r for size in input.shape[2:]):
        raise ShapeError(f"pixel_unshuffle: height and width of an input (N, C, H, W) must be multiples of {r}, got {describe(input)}")
    n, channels, height, width = input.shape
    apart = reshape(input, (n, channels, height // r, r, width // r, r))
    return reshape(transpose(apart, (0, 1, 3, 5, 2, 4)), (n, channels * r * r, height // r, width // r))


class Upsample(Module):
    """`interpolate` as a module."""

    def __init__(self, size: Any = None, scale_factor: float | Sequence[float] | None = None, mode: str = "nearest", align_corners: bool | None = None) -> None:
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, input: Tensor) -> Tensor:
        return interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        return f"size={self.size}, scale_factor={self.scale_factor}, mode={self.mode!r}"


class PixelShuffle(Module):
    """`pixel_shuffle` as a module."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """`pixel_unshuffle` as a module."""

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"
