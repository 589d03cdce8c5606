"""Convolution over any number of spatial axes: one op for the forward pass and for both gradients, as in XLA's HLO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError, TypeRuleError
from ..formula import Call, Equation, Formula, Name, Number
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Expr, Index, const, fresh_axes, fresh_axis, guard, reduce
from ..op import Access, Array, Sample, function, sample_array
from ..record import record
from ..sizes import Dim, as_size, divides
from ..types import Shape, TensorType
from .shape import reshape, transpose
from .slicing import Slice
from .window import Window, Windowed, sizes_of

Numbers = int | Sequence[int]


@record
class Convolution(Windowed):
    """y[n, o, p...] = sum over c, r... of x[n, c, p * stride + r * dilation - low ...] * w[o, c, r...].

    Operands: x of shape (N, C, *sizes) and w of shape (O, C / groups, *kernel); the result is (N, O, *counts). The outputs of
    group g see only the channels of group g. Places that hold no element of x (padding, or between spread ones) are zero.
    The gradients by x and by w are convolutions again: Dumoulin, Visin 2016, "A guide to convolution arithmetic", section 4.
    """

    name: ClassVar[str] = "convolution"
    pattern: ClassVar[str] = "contraction"
    strides: tuple[int, ...]
    low: Shape
    high: Shape
    dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]
    groups: int = 1

    def infer(self, *operands: TensorType) -> TensorType:
        x, w = operands
        if x.dtype != w.dtype or x.dtype == "bool":
            raise TypeRuleError(f"needs data and weights of one numeric dtype, got {x} and {w}: cast one of them")
        if x.rank != w.rank:
            raise ShapeError(f"data (N, C, sizes) and weights (O, C / groups, kernel) must have as many axes, got {x} and {w}")
        self.check_attributes(x)
        if self.groups < 1 or divides(self.groups, w.shape[0]) is None or divides(self.groups, x.shape[1]) is None:
            raise ShapeError(f"{self.groups} groups do not divide the {x.shape[1]} channels of the data and the {w.shape[0]} outputs of the weights")
        unify(x.shape[1], w.shape[1] * self.groups, f"the channels of the data {x} and those that the weights {w} take in {self.groups} groups")
        return x.with_shape([x.shape[0], w.shape[0], *self.counts(x.shape[2:], w.shape[2:])])

    def evaluate(self, *operands: Array) -> Array:
        x, w = operands
        views = self.views(x, w.shape[2:])
        spatial = x.ndim - 2
        views = views.reshape(x.shape[0], self.groups, w.shape[1], *views.shape[2:])
        kernels = w.reshape(self.groups, w.shape[0] // self.groups, *w.shape[1:])
        places, taps = "ijk"[:spatial], "rst"[:spatial]
        with np.errstate(all="ignore"):
            found = np.einsum(f"ngc{places}{taps},goc{taps}->ngo{places}", views, kernels, optimize=True)
        return np.ascontiguousarray(found, x.dtype).reshape(x.shape[0], w.shape[0], *found.shape[3:])

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        x, w = operands
        by_data = self._with([one.by_data(*sizes) for one, sizes in self._sizes(x, w, output)], self.groups)
        by_kernel = self._with([one.by_kernel(*sizes) for one, sizes in self._sizes(x, w, output)], self.groups)
        per_group = by_kernel(_batch_inside(x, self.groups), _exchanged(cotangent))
        return by_data(cotangent, flipped(w, self.groups)), _exchanged(per_group)

    def _sizes(self, x: Tensor, w: Tensor, output: Tensor) -> Iterable[tuple[Window, tuple[Dim, Dim, Dim]]]:
        return zip(self.windows, zip(x.shape[2:], w.shape[2:], output.shape[2:], strict=True), strict=True)

    @staticmethod
    def _with(windows: Sequence[Window], groups: int) -> Convolution:
        columns = zip(*((one.stride, one.low, one.high, one.dilation, one.spread) for one in windows), strict=True)
        strides, low, high, dilation, spread = columns
        return Convolution(strides, low, high, dilation, spread, groups)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        (dx, dw), (x, w) = tangents, operands
        terms = [*([self(dx, w)] if dx is not None else []), *([self(x, dw)] if dw is not None else [])]
        return terms[0] + terms[1] if len(terms) == 2 else terms[0] if terms else None

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, w = operands
        data: Shape = x.type.shape  # type: ignore[attr-defined]
        weights: Shape = w.type.shape  # type: ignore[attr-defined]
        n, o, *places = index
        channel = fresh_axis(weights[1])
        taps = fresh_axes(weights[2:], "r")
        within = sizes_of(taps)
        first = o // divides(self.groups, weights[0]) * weights[1] if self.groups > 1 else 0  # type: ignore[operator]
        at, inside = self.tap(tuple(places), within, data[2:])
        element = guard(inside, x((n, first + as_size(channel), *at)), const(0, out.dtype))
        return reduce("sum", (channel, *taps), element * w((o, as_size(channel), *within)))

    def formula(self, node: Node, *operands: Formula) -> Formula:
        told = {"stride": self.strides, "dilation": self.dilation, "spread": self.input_dilation, "groups": (self.groups,)}
        others = [(name, values[0] if len(set(values)) == 1 else values) for name, values in told.items() if set(values) != {1}]
        return Call("conv", (*operands, *(Equation((Name(name), Number(str(value)))) for name, value in others)))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((1,), (1,), (1,), (1,), (1,)), (sample_array(2, 3, 5), sample_array(4, 3, 3, seed=1)))
        yield Sample(cls((2, 3), (1, 0), (0, 2), (1, 2), (1, 1)), (sample_array(2, 2, 5, 7), sample_array(3, 2, 3, 2, seed=1)))
        yield Sample(cls((1, 1), (1, 2), (2, 1), (2, 1), (2, 3), 2), (sample_array(1, 4, 3, 3), sample_array(6, 2, 2, 2, seed=1)))
        yield Sample(cls((2,), (-1,), (0,), (1,), (1,), 3), (sample_array(2, 3, 6), sample_array(3, 1, 2, seed=1)))
        yield Sample(cls((1, 2, 1), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 1)), (sample_array(1, 2, 2, 3, 3), sample_array(2, 2, 2, 2, 3, seed=1)))
        yield Sample(cls((1,), (0,), (0,), (1,), (1,)), (sample_array(2, 3, 5, dtype="int64"), sample_array(4, 3, 3, dtype="int64")))
        yield Sample(cls((1,), (0,), (0,), (1,), (1,)), (sample_array(0, 3, 5), sample_array(4, 3, 3)))


def flipped(w: Tensor, groups: int) -> Tensor:
    """Weights (O, C / groups, *kernel) as (C, O / groups, *kernel), turned round along the kernel's axes: those of the transposed convolution."""
    outputs = divides(groups, w.shape[0])
    assert outputs is not None
    spatial = w.ndim - 2
    whole = reshape(w, (groups, outputs, *w.shape[1:]))
    turned = reshape(transpose(whole, (0, 2, 1, *range(3, w.ndim + 1))), (w.shape[1] * groups, outputs, *w.shape[2:]))
    starts = (0, 0, *(size - 1 for size in w.shape[2:]))
    return Slice(starts, turned.shape, (1, 1, *[-1] * spatial))(turned)


def _exchanged(x: Tensor) -> Tensor:
    """x with its first two axes exchanged."""
    return transpose(x, (1, 0, *range(2, x.ndim)))


def _batch_inside(x: Tensor, groups: int) -> Tensor:
    """Data (N, G * C, ...) as (C, G * N, ...): the samples as channels, group by group."""
    inner = divides(groups, x.shape[1])
    assert inner is not None
    whole = reshape(x, (x.shape[0], groups, inner, *x.shape[2:]))
    turned = transpose(whole, (2, 1, 0, *range(3, whole.ndim)))
    return reshape(turned, (inner, groups * x.shape[0], *x.shape[2:]))


def per_axis(given: Any, count: int, what: str) -> tuple[int, ...]:
    """One number for every axis, from one for all or as many as there are. Raises TypeRuleError."""
    numbers = tuple(given) if isinstance(given, (tuple, list)) else (given,) * count
    if len(numbers) == 1:
        numbers *= count
    if len(numbers) != count or not all(isinstance(number, int) for number in numbers):
        raise TypeRuleError(f"{what} {given!r} must be a whole number or {count} of them, one for every spatial axis")
    return numbers


@function
def convolution(x: Any, w: Any, strides: Numbers = 1, padding: Any = 0, dilation: Numbers = 1, input_dilation: Numbers = 1, groups: int = 1) -> Tensor:
    """The convolution (cross-correlation, as networks have it) of x (N, C, *sizes) with w (O, C / groups, *kernel).

    `padding` is a number, or for every spatial axis a number or a pair (low, high); `dilation` spreads the kernel's taps,
    `input_dilation` the data's elements. Raises ShapeError for sizes that do not fit, TypeRuleError for dtypes and options.
    """
    data, weights = as_tensor(x), as_tensor(w)
    spatial = max(data.ndim - 2, 0)
    pairs = [pair if isinstance(pair, tuple) else (pair, pair) for pair in (padding if isinstance(padding, (tuple, list)) else [padding] * spatial)]
    low, high = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    options = [per_axis(given, spatial, what) for given, what in ((strides, "strides"), (dilation, "dilation"), (input_dilation, "input_dilation"))]
    return Convolution(options[0], low, high, options[1], options[2], groups)(data, weights)
