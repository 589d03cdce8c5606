"""Convolution as sums of products without predicates: what the pass `convolution` makes of it for compiled programs.

The padded grid of places is one long axis, so that a tap is a shift along it. Neighbouring results read neighbouring places,
across the ends of rows too; what the columns that belong to no window hold is cut off afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError
from ..kernel.expression import Expr, Index, fresh_axes, fresh_axis, reduce
from ..op import Access, Array, Op, Sample, sample_array
from ..record import record
from ..sizes import Dim, as_size, product
from ..types import Shape, TensorType
from .window import sizes_of


def unravelled(index: Dim, sizes: Shape) -> Index:
    """The index along every axis of the element of that number, row by row."""
    parts = [index // product(sizes[k + 1 :]) for k in range(len(sizes))]
    return tuple(part % size if k else part for k, (part, size) in enumerate(zip(parts, sizes, strict=True)))


def ravelled(index: Index, sizes: Sequence[Dim]) -> Dim:
    """The number of the element at `index`, row by row."""
    total: Dim = 0
    for place, size in zip(index, sizes, strict=True):
        total = total * size + place
    return total


@record
class FlatConvolution(Op):
    """y[n, g, o, j] = sum over k = (c, r...) of x[n, g, c, phase(r), j + shift(r)] * w[g, o, k].

    A strided convolution sees its data apart in phases, one for every remainder of a place by the stride: the tap r lies in the
    phase `r * dilation % stride` of each axis, `r * dilation // stride` of the axis' `steps` on. `kernel` has the taps of every
    axis, `count` is the number of results j.
    """

    name: ClassVar[str] = "flat_convolution"
    pattern: ClassVar[str] = "contraction"
    kernel: Shape
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    steps: Shape
    count: Dim

    def infer(self, *operands: TensorType) -> TensorType:
        x, w = operands
        if x.rank != 5 or w.rank != 3 or x.dtype != w.dtype:
            raise ShapeError(f"needs data (N, G, C, phases, places) and weights (G, O, taps) of one dtype, got {x} and {w}")
        unify(x.shape[1], w.shape[0], "the groups")
        unify(x.shape[2] * product(self.kernel), w.shape[2], "the channels times taps")
        unify(x.shape[3], math.prod(self.strides), "the phases")
        return x.with_shape([x.shape[0], w.shape[0], w.shape[1], self.count])

    def _place(self, taps: Index) -> tuple[Dim, Dim]:
        """Phase and shift of a tap."""
        places = [r * d for r, d in zip(taps, self.dilation, strict=True)]
        phase = ravelled(tuple(place % s for place, s in zip(places, self.strides, strict=True)), self.strides)
        return phase, sum((place // s * step for place, s, step in zip(places, self.strides, self.steps, strict=True)), 0)

    def evaluate(self, *operands: Array) -> Array:
        x, w = operands
        n, groups, channels = x.shape[:3]
        places = [self._place(tap) for tap in np.ndindex(*self.kernel)]
        taps = [x[:, :, :, phase, shift : shift + self.count] for phase, shift in places]
        views = np.stack(taps, 3).reshape(n, groups, channels * len(taps), -1)
        with np.errstate(all="ignore"):
            return np.asarray(np.einsum("ngkj,gok->ngoj", views, w, optimize=True), x.dtype)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, w = operands
        n, g, o, j = index
        channels: Dim = x.type.shape[2]  # type: ignore[attr-defined]
        if channels == 1:  # few taps, no panels: loops of their own
            axes = fresh_axes(self.kernel, "r")
            phase, shift = self._place(sizes_of(axes))
            return reduce("sum", axes, x((n, g, 0, phase, j + shift)) * w((g, o, ravelled(sizes_of(axes), self.kernel))))
        k = fresh_axis(channels * product(self.kernel))
        channel, *taps = unravelled(as_size(k), (channels, *self.kernel))
        phase, shift = self._place(tuple(taps))
        return reduce("sum", (k,), x((n, g, channel, phase, j + shift)) * w((g, o, as_size(k))))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((3,), (1,), (1,), (1,), 6), (sample_array(2, 1, 3, 1, 8), sample_array(1, 4, 9, seed=1)), ())
        yield Sample(cls((2, 3), (2, 1), (1, 2), (5, 1), 7), (sample_array(2, 2, 3, 2, 11), sample_array(2, 4, 18, seed=1)), ())
        yield Sample(cls((3, 2), (1, 1), (1, 1), (4, 1), 8), (sample_array(1, 3, 1, 1, 17), sample_array(3, 2, 6, seed=1)), ())


@record
class KernelGradient(Op):
    """y[r..., g, o, e] = sum over k = (c, t...) of x[g, c, place(r, t) + e] * w[g, o, k], for many taps t and few results r.

    The place of a tap of a window is the sum over axes of r * window step + t * tap step, in elements. Such sums are the gradients of
    convolutions by their kernels: k runs over all samples and places, e over `width` neighbours: the channels, or those of a row of taps.
    """

    name: ClassVar[str] = "kernel_gradient"
    pattern: ClassVar[str] = "contraction"
    kernel: Shape
    counts: Shape
    window_steps: Shape
    tap_steps: Shape
    width: Dim

    def infer(self, *operands: TensorType) -> TensorType:
        x, w = operands
        if x.rank != 3 or w.rank != 3 or x.dtype != w.dtype:
            raise ShapeError(f"needs data (G, C, elements) and weights (G, O, taps) of one dtype, got {x} and {w}")
        unify(x.shape[0], w.shape[0], "the groups")
        unify(x.shape[1] * product(self.kernel), w.shape[2], "the channels times taps")
        return x.with_shape([*self.counts, w.shape[0], w.shape[1], self.width])

    def _place(self, index: Index, taps: Index) -> Dim:
        given = *zip(index, self.window_steps, strict=True), *zip(taps, self.tap_steps, strict=True)
        return sum((number * step for number, step in given), 0)

    def evaluate(self, *operands: Array) -> Array:
        x, w = operands
        taps = list(np.ndindex(*self.kernel))
        rows = []
        for index in np.ndindex(*self.counts):
            places = np.array([int(self._place(index, tap)) for tap in taps], int)
            view = np.take(x, places[:, None] + np.arange(int(self.width)), 2).reshape(x.shape[0], w.shape[2], -1)
            with np.errstate(all="ignore"):
                rows.append(np.matmul(w, view))
        return np.stack(rows).reshape(*self.counts, *rows[0].shape)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, w = operands
        *windows, g, o, e = index
        channels: Dim = x.type.shape[1]  # type: ignore[attr-defined]
        k = fresh_axis(channels * product(self.kernel))
        channel, *taps = unravelled(as_size(k), (channels, *self.kernel))
        place = self._place(tuple(windows), tuple(taps))
        return reduce("sum", (k,), w((g, o, as_size(k))) * x((g, channel, place + e)))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((6,), (3,), (3,), (3,), 3), (sample_array(1, 2, 24), sample_array(1, 4, 12, seed=1)), ())
        yield Sample(cls((3, 4), (2, 3), (48, 3), (24, 6), 3), (sample_array(2, 2, 144), sample_array(2, 4, 24, seed=1)), ())
        yield Sample(cls((3, 4), (2,), (24,), (24, 3), 9), (sample_array(2, 2, 144), sample_array(2, 4, 24, seed=1)), ())


@record
class Patches(Op):
    """All windows of data (N, G, C, *sizes) as rows of a matrix: (G, N, *counts, C, *kernel), element by element."""

    name: ClassVar[str] = "patches"
    pattern: ClassVar[str] = "injective"
    kernel: Shape
    counts: Shape
    strides: tuple[int, ...]
    dilation: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if x.rank != 3 + len(self.kernel):
            raise ShapeError(f"needs data (N, G, C, sizes) with {len(self.kernel)} spatial axes, got {x}")
        return x.with_shape([x.shape[1], x.shape[0], *self.counts, x.shape[2], *self.kernel])

    def evaluate(self, *operands: Array) -> Array:
        (x,) = operands
        given = zip(self.counts, self.strides, self.kernel, self.dilation, strict=True)
        places = [np.add.outer(np.arange(count) * s, np.arange(taps) * d) for count, s, taps, d in given]  # type: ignore[arg-type]
        spatial = len(places)
        x = np.moveaxis(x, 2, -1)  # (N, G, *sizes, C)
        for axis, at in enumerate(places):
            x = np.take(x, at, 2 + 2 * axis)
        order = [1, 0, *range(2, 2 + 2 * spatial, 2), x.ndim - 1, *range(3, 2 + 2 * spatial, 2)]
        return np.ascontiguousarray(x.transpose(order))

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        g, n, *rest = index
        spatial = len(self.kernel)
        windows, channel, taps = rest[:spatial], rest[spatial], rest[spatial + 1 :]
        given = zip(windows, taps, self.strides, self.dilation, strict=True)
        return operands[0]((n, g, channel, *(r * s + t * d for r, t, s, d in given)))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((3,), (4,), (1,), (1,)), (sample_array(2, 1, 3, 6),), ())
        yield Sample(cls((2, 3), (2, 2), (2, 1), (1, 2)), (sample_array(2, 2, 3, 4, 6),), ())
