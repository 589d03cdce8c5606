"""Convolutions and transposed convolutions over one, two or three spatial axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.convolution import Convolution, flipped, per_axis
from ..ops.elementwise import describe
from ..ops.pad import pad as pad_array
from ..ops.shape import expand_dims, reshape, squeeze
from ..sizes import Dim
from . import init
from .module import Module, told

Numbers = int | Sequence[int]
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers | str = 0, dilation: Numbers = 1, groups: int = 1
) -> Tensor:
    """The cross-correlation of input (N, C, L) or (C, L) with weight (O, C / groups, K), plus bias (O,).

    `padding` is a number for both ends of every axis, "valid" for none or "same" for as many windows as places. Raises
    ShapeError for sizes that do not fit, TypeRuleError for options that do not.
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers | str = 0, dilation: Numbers = 1, groups: int = 1
) -> Tensor:
    """As `conv1d`, for input (N, C, H, W) or (C, H, W) and weight (O, C / groups, R, S)."""
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers | str = 0, dilation: Numbers = 1, groups: int = 1
) -> Tensor:
    """As `conv1d`, for input (N, C, D, H, W) or (C, D, H, W) and weight (O, C / groups, Q, R, S)."""
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


def _convolve(
    count: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Numbers, padding: Numbers | str, dilation: Numbers, groups: int
) -> Tensor:
    name = f"conv{count}d"
    _check_rank(name, count, input, weight)
    strides, spread = per_axis(stride, count, f"{name}: stride"), per_axis(dilation, count, f"{name}: dilation")
    low, high = _widths(name, padding, strides, spread, weight.shape[2:])
    op = Convolution(strides, low, high, spread, (1,) * count, groups)
    return _applied(op, input, weight, bias)


def _check_rank(name: str, count: int, input: Tensor, weight: Tensor) -> None:
    if input.ndim not in (count + 1, count + 2) or weight.ndim != count + 2:
        raise ShapeError(f"{name}: needs an input of {count + 1} or {count + 2} axes and a weight of {count + 2}, got {describe(input)} and {describe(weight)}")


def _widths(name: str, padding: Numbers | str, strides: tuple[int, ...], dilation: tuple[int, ...], kernel: Sequence[Dim]) -> tuple[Any, Any]:
    """Places before and after the data along every axis."""
    if not isinstance(padding, str):
        widths = per_axis(padding, len(strides), f"{name}: padding")
        return widths, widths
    if padding not in ("same", "valid") or (padding == "same" and max(strides) > 1):
        raise TypeRuleError(f'{name}: padding {padding!r} with stride {strides}: give numbers, "valid", or with stride 1 "same"')
    total = [(taps - 1) * d if padding == "same" else 0 for taps, d in zip(kernel, dilation, strict=True)]
    return tuple(width // 2 for width in total), tuple(width - width // 2 for width in total)


def _applied(op: Convolution, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The op on a batch, or on one sample without the batch's axis, plus the bias of every output channel."""
    single = input.ndim == weight.ndim - 1
    result = op(expand_dims(input, 0) if single else input, weight)
    result = result if bias is None else result + reshape(bias, (-1, *[1] * (weight.ndim - 2)))
    return squeeze(result, 0) if single else result


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers = 0, output_padding: Numbers = 0, groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:  # fmt: skip
    """The gradient of `conv1d` by its input, as a layer: input (N, C, L), weight (C, O / groups, K), result (N, O, (L - 1) stride + ...).

    `output_padding` adds places at the end, to tell apart the sizes that a strided convolution maps to one. Raises as `conv1d`.
    """
    return _transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers = 0, output_padding: Numbers = 0, groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:  # fmt: skip
    """As `conv_transpose1d`, for input (N, C, H, W) and weight (C, O / groups, R, S)."""
    return _transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Numbers = 1, padding: Numbers = 0, output_padding: Numbers = 0, groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:  # fmt: skip
    """As `conv_transpose1d`, for input (N, C, D, H, W) and weight (C, O / groups, Q, R, S)."""
    return _transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _transpose(
    count: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Numbers, padding: Numbers, output_padding: Numbers, groups: int, dilation: Numbers
) -> Tensor:
    name = f"conv_transpose{count}d"
    _check_rank(name, count, input, weight)
    strides, spread = per_axis(stride, count, f"{name}: stride"), per_axis(dilation, count, f"{name}: dilation")
    cut, more = per_axis(padding, count, f"{name}: padding"), per_axis(output_padding, count, f"{name}: output_padding")
    if any(extra >= max(s, d) for extra, s, d in zip(more, strides, spread, strict=True)):
        raise ShapeError(f"{name}: output_padding {more} must be smaller than the stride {strides} or the dilation {spread}")
    if groups < 1 or (isinstance(weight.shape[0], int) and weight.shape[0] % groups):
        raise ShapeError(f"{name}: {groups} groups do not divide the {weight.shape[0]} input channels of the weight {describe(weight)}")
    low = tuple((taps - 1) * d - width for taps, d, width in zip(weight.shape[2:], spread, cut, strict=True))
    high = tuple(before + extra for before, extra in zip(low, more, strict=True))
    return _applied(Convolution((1,) * count, low, high, spread, strides, groups), input, flipped(weight, groups), bias)


class _Layer(Module):
    """The base of both kinds: options, and weight and bias uniform in ±1/√(elements of one window), as PyTorch's are."""

    count: ClassVar[int]

    def _declare(
        self, in_channels: int, out_channels: int, kernel_size: Numbers, stride: Numbers, padding: Numbers | str, dilation: Numbers, groups: int,
        padding_mode: str,
    ) -> None:  # fmt: skip
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(f"{told(name)}: {groups} groups do not divide {in_channels} input and {out_channels} output channels")
        if padding_mode not in MODES:
            raise TypeRuleError(f"{name}: padding_mode {padding_mode!r} is not one of {', '.join(MODES)}")
        self.kernel_size = per_axis(kernel_size, self.count, f"{name}: kernel_size")
        self.stride = per_axis(stride, self.count, f"{name}: stride")
        self.padding = padding if isinstance(padding, str) else per_axis(padding, self.count, f"{name}: padding")
        self.dilation = per_axis(dilation, self.count, f"{name}: dilation")
        self.padding_mode = padding_mode

    def _initialise(self, shape: tuple[int, ...], bias: bool, dtype: Any) -> None:
        elements = math.prod(shape[1:])
        bound = 1 / math.sqrt(elements) if elements else 0.0
        self.weight = init.uniform_(init.blank("weight", shape, dtype), -bound, bound)
        self.bias = init.uniform_(init.blank("bias", (self.out_channels,), dtype), -bound, bound) if bias else None

    def extra_repr(self) -> str:
        shown = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups, "padding_mode": self.padding_mode}
        told = "".join(f", {name}={value!r}" for name, value in shown.items())
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{told}, bias={self.bias is not None}"


class _Conv(_Layer):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Numbers, stride: Numbers = 1, padding: Numbers | str = 0, dilation: Numbers = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", dtype: Any = "float32",
    ) -> None:  # fmt: skip
        self._declare(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        self._initialise((out_channels, in_channels // groups, *self.kernel_size), bias, dtype)

    def forward(self, input: Tensor) -> Tensor:
        padding: Numbers | str = self.padding
        if self.padding_mode != "zeros":
            low, high = _widths(type(self).__name__, padding, self.stride, self.dilation, self.kernel_size)
            lead = [(0, 0)] * (input.ndim - self.count)
            input, padding = pad_array(input, [*lead, *zip(low, high, strict=True)], MODES[self.padding_mode]), 0
        return _convolve(self.count, input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """`conv1d` with learned `weight` (out_channels, in_channels / groups, kernel) and `bias` (out_channels,)."""

    count = 1


class Conv2d(_Conv):
    """`conv2d` with learned `weight` (out_channels, in_channels / groups, *kernel) and `bias` (out_channels,)."""

    count = 2


class Conv3d(_Conv):
    """`conv3d` with learned `weight` (out_channels, in_channels / groups, *kernel) and `bias` (out_channels,)."""

    count = 3


class _ConvTranspose(_Layer):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Numbers, stride: Numbers = 1, padding: Numbers = 0, output_padding: Numbers = 0,
        groups: int = 1, bias: bool = True, dilation: Numbers = 1, padding_mode: str = "zeros", dtype: Any = "float32",
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise TypeRuleError(f"{type(self).__name__}: padding_mode {padding_mode!r} has no meaning here: only zeros are cut off")
        self._declare(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        self.output_padding = per_axis(output_padding, self.count, f"{type(self).__name__}: output_padding")
        self._initialise((in_channels, out_channels // groups, *self.kernel_size), bias, dtype)

    def forward(self, input: Tensor) -> Tensor:
        assert not isinstance(self.padding, str)
        options = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return _transpose(self.count, input, self.weight, self.bias, *options)


class ConvTranspose1d(_ConvTranspose):
    """`conv_transpose1d` with learned `weight` (in_channels, out_channels / groups, kernel) and `bias` (out_channels,)."""

    count = 1


class ConvTranspose2d(_ConvTranspose):
    """`conv_transpose2d` with learned `weight` (in_channels, out_channels / groups, *kernel) and `bias` (out_channels,)."""

    count = 2


class ConvTranspose3d(_ConvTranspose):
    """`conv_transpose3d` with learned `weight` (in_channels, out_channels / groups, *kernel) and `bias` (out_channels,)."""

    count = 3
