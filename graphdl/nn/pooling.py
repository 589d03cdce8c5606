"""Pooling layers: the largest or the mean element of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..errors import ShapeError
from ..ir import Tensor
from ..ops.convolution import per_axis
from ..ops.elementwise import describe
from ..ops.pooling import MaxPool, WindowArgmax
from ..ops.shape import expand_dims, reshape, squeeze
from ..ops.source import arange, full
from ..ops.window import Window
from ..ops.window_sum import WindowSum
from ..sizes import Dim, ceildiv, minimum
from .module import Module

Numbers = int | Sequence[int]


def max_pool1d(
    input: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1, ceil_mode: bool = False
) -> Tensor:
    """The largest element of every window of input (N, C, L) or (C, L); padding never is the largest.

    The stride is the kernel's size unless given. With `ceil_mode`, windows that start inside the data may reach beyond its end.
    Raises ShapeError for a kernel larger than the padded data, or padding of more than half a kernel.
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    input: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1, ceil_mode: bool = False
) -> Tensor:
    """As `max_pool1d`, for input (N, C, H, W) or (C, H, W)."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool1d_with_indices(
    input: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1, ceil_mode: bool = False
) -> tuple[Tensor, Tensor]:
    """`max_pool1d`, and where in the data each largest element stands, int64: the first of equal ones."""
    return _max_pool_with_indices(1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d_with_indices(
    input: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1, ceil_mode: bool = False
) -> tuple[Tensor, Tensor]:
    """`max_pool2d`, and where in its plane each largest element stands, as row * W + column, int64: the first of equal ones."""
    return _max_pool_with_indices(2, input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(
    input: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """The mean of every window of input (N, C, L) or (C, L), counting padding as elements unless `count_include_pad` is off.

    What `ceil_mode` lets reach beyond the padded end is never counted. Raises as `max_pool1d`.
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """As `avg_pool1d`, for input (N, C, H, W) or (C, H, W); `divisor_override` divides every sum instead of the count."""
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


class _Slide:
    """The windows of one pooling call: options checked, and the places after the data that whole windows need."""

    def __init__(self, name: str, count: int, input: Tensor, kernel: Numbers, stride: Numbers | None, padding: Numbers, dilation: Numbers, ceil: bool) -> None:
        if input.ndim not in (count + 1, count + 2):
            raise ShapeError(f"{name}: needs an input of {count + 1} or {count + 2} axes, got {describe(input)}")
        self.kernel = per_axis(kernel, count, f"{name}: kernel_size")
        self.strides = self.kernel if stride is None else per_axis(stride, count, f"{name}: stride")
        self.low, self.dilation = per_axis(padding, count, f"{name}: padding"), per_axis(dilation, count, f"{name}: dilation")
        if any(2 * width > taps for width, taps in zip(self.low, self.kernel, strict=True)):
            raise ShapeError(f"{name}: padding {self.low} is more than half of the kernel {self.kernel}")
        sizes = zip(input.shape[-count:], self.kernel, self.strides, self.low, self.dilation, strict=True)
        self.high = tuple(_after(*one) for one in sizes) if ceil else self.low

    def counts(self, input: Tensor, include_padding: bool) -> Tensor:
        """How many elements every window holds, (1, 1, *counts): padding that was asked for is counted or not."""
        width = tuple(2 * low if include_padding else 0 for low in self.low)
        spatial = input.shape[2:]
        ones = full((1, 1, *(size + more for size, more in zip(spatial, width, strict=True))), 1.0, input.dtype)
        low = (0,) * len(self.low) if include_padding else self.low
        high = tuple(after - low for after, low in zip(self.high, self.low, strict=True)) if include_padding else self.high
        return self.sum(ones, low, high).maximum(1.0)  # no window lies in the padding alone

    def sum(self, input: Tensor, low: tuple[int, ...], high: tuple[Dim, ...]) -> Tensor:
        """The sum of every window."""
        return WindowSum(self.kernel, self.strides, low, high, self.dilation, (1,) * len(low))(input)


def _after(size: Dim, kernel: int, stride: int, padding: int, dilation: int) -> Dim:
    """Places after the data such that the windows are as many as can start before the padded end, the last one inside the data."""
    reach = Window(stride, padding, padding, dilation, 1).reach(kernel)
    last = minimum(ceildiv(size + 2 * padding - reach, stride), (size + padding - 1) // stride)
    return last * stride + reach - size - padding


def _batched(count: int, input: Tensor) -> tuple[Tensor, bool]:
    single = input.ndim == count + 1
    return (expand_dims(input, 0) if single else input), single


def _max_pool(count: int, input: Tensor, kernel: Numbers, stride: Numbers | None, padding: Numbers, dilation: Numbers, ceil_mode: bool) -> Tensor:
    op, batch, single = _prepared(count, input, kernel, stride, padding, dilation, ceil_mode)
    return squeeze(op(batch), 0) if single else op(batch)


def _max_pool_with_indices(
    count: int, input: Tensor, kernel: Numbers, stride: Numbers | None, padding: Numbers, dilation: Numbers, ceil_mode: bool
) -> tuple[Tensor, Tensor]:
    op, batch, single = _prepared(count, input, kernel, stride, padding, dilation, ceil_mode)
    result, places = op(batch), _places(op, batch)
    return (squeeze(result, 0), squeeze(places, 0)) if single else (result, places)


def _prepared(
    count: int, input: Tensor, kernel: Numbers, stride: Numbers | None, padding: Numbers, dilation: Numbers, ceil_mode: bool
) -> tuple[MaxPool, Tensor, bool]:
    slide = _Slide(f"max_pool{count}d", count, input, kernel, stride, padding, dilation, ceil_mode)
    return MaxPool(slide.kernel, slide.strides, slide.low, slide.high, slide.dilation), *_batched(count, input)


def _places(op: MaxPool, x: Tensor) -> Tensor:
    """The flat place in its plane of the element that each window takes. Windows of nothing but -inf take one that is not padding."""
    taps: Tensor = op.other(WindowArgmax)(x)
    flat, rest = full((), 0, "int64"), op.size
    for axis, (size, kernel, window) in enumerate(zip(x.shape[2:], op.kernel, op.windows, strict=True), 2):
        rest //= kernel
        first = arange(taps.shape[axis]) * window.stride - window.low
        place = reshape(first, (-1, *[1] * (x.ndim - 1 - axis))) + taps // rest % kernel * window.dilation
        extent = full((), size, "int64")
        flat = flat * extent + place.maximum(0).minimum(extent - 1)
    return flat


def _avg_pool(
    count: int, input: Tensor, kernel: Numbers, stride: Numbers | None, padding: Numbers, ceil_mode: bool, include_padding: bool, divisor: int | None
) -> Tensor:
    slide = _Slide(f"avg_pool{count}d", count, input, kernel, stride, padding, 1, ceil_mode)
    batch, single = _batched(count, input)
    sums = slide.sum(batch, slide.low, slide.high)
    taps = 1
    for size in slide.kernel:
        taps *= size
    is_even = include_padding and slide.high == slide.low
    result = sums / divisor if divisor else sums * (1 / taps) if is_even else sums / slide.counts(batch, include_padding)
    return squeeze(result, 0) if single else result


class _MaxPool(Module):
    count: ClassVar[int]

    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        self.return_indices = return_indices
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        pool = _max_pool_with_indices if self.return_indices else _max_pool
        return pool(self.count, input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool1d(_MaxPool):
    """`max_pool1d` as a module; with `return_indices`, `max_pool1d_with_indices`."""

    count = 1


class MaxPool2d(_MaxPool):
    """`max_pool2d` as a module; with `return_indices`, `max_pool2d_with_indices`."""

    count = 2


class _AvgPool(Module):
    count: ClassVar[int]
    divisor_override: int | None = None

    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        options = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override)
        return _avg_pool(self.count, input, *options)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """`avg_pool1d` as a module."""

    count = 1


class AvgPool2d(_AvgPool):
    """`avg_pool2d` as a module."""

    count = 2

    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override
