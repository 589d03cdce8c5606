"""Windows that slide over spatial axes: what convolution and pooling share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..constraints import unify
from ..errors import ShapeError
from ..kernel.expression import Axis, Expr, Index, all_of, compare
from ..op import Array, Op
from ..record import record
from ..sizes import Dim, as_size, maximum
from ..types import Shape, TensorType


@record
class Window:
    """Windows along one spatial axis: where tap `r` of window `p` lies in the data, `p * stride + r * dilation - low`.

    The data's elements stand `spread` apart, zeros between them. Negative padding cuts off.
    """

    stride: int
    low: Dim
    high: Dim
    dilation: int
    spread: int

    def reach(self, kernel: Dim) -> Dim:
        """How many places a window covers."""
        return (kernel - 1) * self.dilation + 1

    def count(self, size: Dim, kernel: Dim, axis: int) -> Dim:
        """The number of windows. Raises ShapeError where not even one fits."""
        extent = (size - 1) * self.spread + 1 + self.low + self.high
        room = extent - self.reach(kernel)
        told = f"the kernel reaches over {self.reach(kernel)} places of spatial axis {axis}, whose padded size is {extent}"
        if isinstance(room, int) and room < 0:
            raise ShapeError(f"{told}: make the kernel or its dilation smaller, or the padding larger")
        unify(maximum(room, 0), room, told)
        return room // self.stride + 1

    def by_data(self, size: Dim, kernel: Dim, count: Dim) -> Window:
        """The windows over the results that collect what each of the `size` elements of the data gave, by the flipped kernel."""
        low = self.reach(kernel) - 1 - self.low
        high = self.reach(kernel) + (size - 1) * self.spread - (count - 1) * self.stride - 1 - low
        return Window(self.spread, low, high, self.dilation, self.stride)

    def by_kernel(self, size: Dim, kernel: Dim, count: Dim) -> Window:
        """The windows over the data, with the results for a kernel, that collect what each tap met."""
        high = (count - 1) * self.stride + (kernel - 1) * self.dilation - (size - 1) * self.spread - self.low
        return Window(self.dilation, self.low, high, self.stride, self.spread)

    def place(self, position: Dim, size: Dim) -> tuple[Dim, list[Expr]]:
        """The data's element at a place counted from its first one, and what must hold for there to be one."""
        held = [compare("greater_equal", position, 0), compare("less", position // self.spread, size)]
        if self.spread > 1:
            held.append(compare("equal", position % self.spread, 0))
        return position // self.spread, held

    def laid_out(self, x: Array, axis: int, filler: float = 0.0) -> Array:
        """The data with its elements spread and padded along `axis`."""
        size = x.shape[axis]
        low, high = int(self.low), int(self.high)
        shape = list(x.shape)
        shape[axis] = max((size - 1) * self.spread + 1, 0)
        wide = np.full(shape, filler, x.dtype)
        np.moveaxis(wide, axis, 0)[:: self.spread] = np.moveaxis(x, axis, 0)
        widths = [(max(low, 0), max(high, 0)) if k == axis else (0, 0) for k in range(x.ndim)]
        padded = np.pad(wide, widths, constant_values=filler)
        return padded.take(range(max(-low, 0), padded.shape[axis] - max(-high, 0)), axis)


class Windowed(Op):
    """The base of ops over windows: their attributes are those of `Window`, one entry for every spatial axis."""

    strides: tuple[int, ...]
    low: Shape
    high: Shape
    dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]

    @property
    def windows(self) -> list[Window]:
        given = zip(self.strides, self.low, self.high, self.dilation, self.input_dilation, strict=True)
        return [Window(*one) for one in given]

    def counts(self, sizes: Index, kernel: Index) -> Index:
        """The number of windows along every spatial axis."""
        return tuple(window.count(size, taps, k) for k, (window, size, taps) in enumerate(zip(self.windows, sizes, kernel, strict=True)))

    def check_attributes(self, x: TensorType) -> None:
        """Raise ShapeError unless every attribute has one number, and a sensible one, for each spatial axis."""
        spatial = x.rank - 2
        given = (self.strides, self.low, self.high, self.dilation, self.input_dilation)
        if spatial < 0 or any(len(numbers) != spatial for numbers in given):
            raise ShapeError(f"strides, padding and dilation for {len(self.strides)} spatial axes do not fit {x}, which has {max(spatial, 0)} after (N, C)")
        if min((*self.strides, *self.dilation, *self.input_dilation), default=1) < 1:
            raise ShapeError(f"strides {self.strides} and dilations {self.dilation}, {self.input_dilation} must be at least 1")

    def tap(self, index: Index, taps: Index, sizes: Index) -> tuple[Index, Expr]:
        """Where the taps of the window at `index` lie in the data, and whether there is an element."""
        found = [
            window.place(p * window.stride + r * window.dilation - window.low, size)
            for window, p, r, size in zip(self.windows, index, taps, sizes, strict=True)
        ]
        return tuple(place for place, _ in found), all_of([test for _, held in found for test in held])

    def views(self, x: Array, kernel: Sequence[int], filler: float = 0.0) -> Array:
        """All windows of the data, (N, C, *counts, *kernel), as a view of the padded array."""
        for axis, window in enumerate(self.windows, 2):
            x = window.laid_out(x, axis, filler)
        reach = [int(window.reach(taps)) for window, taps in zip(self.windows, kernel, strict=True)]
        view = sliding_window_view(x, reach, tuple(range(2, x.ndim)))
        every: tuple[Any, ...] = tuple(slice(None, None, step) for step in (*self.strides, *self.dilation))
        return view[(..., *every)]


def sizes_of(axes: Sequence[Axis]) -> Index:
    """Axes as indices."""
    return tuple(as_size(axis) for axis in axes)
