"""Fourier transforms as products with matrices of cosines and sines, and mel filters."""

from __future__ import annotations

import math

import numpy as np

from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...op import normalize_axis
from ...ops.indexing import take
from ...ops.join import stack
from ...ops.matmul import matmul
from ...ops.pad import pad
from ...ops.shape import expand_dims, reshape, transpose
from ...ops.slicing import slice_axis
from ...ops.source import constant, full
from ...sizes import Dim
from ...types import numpy_dtype
from ..elements import element_name
from ..registry import Call, translates

WIDE = "float64"  # sums of many terms that cancel are kept in it


@translates("DFT")
def _dft(call: Call, x: Tensor, length: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
    # The axis is an attribute (1) before opset 20, then an input (-2).
    at = call.attribute("axis", 1) if call.opset < 20 else int(call.number(2, "the axis", -2))
    axis_ = normalize_axis(at, x.ndim)
    inverse, onesided = bool(call.attribute("inverse", 0)), bool(call.attribute("onesided", 0))
    count = call.sizes(length, "the length")[0] if length is not None else None
    if inverse and onesided:
        return _real_inverse(x, axis_, (x.shape[axis_] - 1) * 2 if count is None else count)
    return transformed(x, axis_, x.shape[axis_] if count is None else count, inverse=inverse, onesided=onesided)


def transformed(x: Tensor, axis: int, count: Dim, *, inverse: bool, onesided: bool) -> Tensor:
    """The discrete Fourier transform along `axis` of x (..., 1 or 2), real or complex, cut or filled up to `count` elements: (..., 2)."""
    bins = count // 2 + 1 if onesided else count
    real, imaginary = _parts(_fitted(x.astype(WIDE), axis, count), axis)
    cosine, sine = _waves(count, bins)
    sine = -sine if inverse else sine
    found = [matmul(real, cosine), -matmul(real, sine)]
    if imaginary is not None:
        found = [found[0] + matmul(imaginary, sine), found[1] + matmul(imaginary, cosine)]
    if inverse:
        found = [one / full((), count, WIDE) for one in found]
    return FUNCTIONS["swapaxes"](stack(found, -1), axis, x.ndim - 2).astype(x.dtype)


def _real_inverse(x: Tensor, axis: int, count: Dim) -> Tensor:
    """The real signal of `count` elements whose one-sided transform is x (..., 2): (..., 1)."""
    bins = count // 2 + 1
    real, imaginary = _parts(_fitted(x.astype(WIDE), axis, bins), axis)
    assert imaginary is not None
    place = FUNCTIONS["arange"](bins)
    is_single = (place == 0) | (place * 2 == full((), count, "int64"))
    weight = FUNCTIONS["where"](is_single, 1.0, 2.0).astype(WIDE) / full((), count, WIDE)
    cosine, sine = (transpose(one) for one in _waves(count, bins))
    found = matmul(real * weight, cosine) - matmul(imaginary * weight, sine)
    return FUNCTIONS["swapaxes"](expand_dims(found, -1), axis, x.ndim - 2).astype(x.dtype)


def _fitted(x: Tensor, axis: int, count: Dim) -> Tensor:
    size = x.shape[axis]
    if size == count:
        return x
    if isinstance(size, int) and isinstance(count, int) and count > size:
        return pad(x, [(0, count - size) if k == axis else (0, 0) for k in range(x.ndim)])
    return slice_axis(x, axis, 0, count)


def _parts(x: Tensor, axis: int) -> tuple[Tensor, Tensor | None]:
    """Real and imaginary parts with `axis` last."""
    moved: Tensor = FUNCTIONS["swapaxes"](x, axis, x.ndim - 2)
    both = [reshape(slice_axis(moved, x.ndim - 1, k, 1), moved.shape[:-1]) for k in range(2 if x.shape[-1] == 2 else 1)]
    return both[0], both[1] if len(both) == 2 else None


def _waves(count: Dim, bins: Dim) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi j k / count for j < count and k < bins; j k is taken modulo count, so that angles stay exact."""
    number = full((), count, "int64")
    turns = reshape(FUNCTIONS["arange"](count), (count, 1)) * FUNCTIONS["arange"](bins) % number
    angle = turns.astype(WIDE) * (2 * math.pi) / full((), count, WIDE)
    return FUNCTIONS["cos"](angle), FUNCTIONS["sin"](angle)


@translates("STFT")
def _stft(call: Call, x: Tensor, step: Tensor, window: Tensor | None = None, length: Tensor | None = None) -> Tensor:
    hop = int(call.number(1, "the step", 1))
    size: Dim = call.sizes(length, "the length")[0] if length is not None else window.shape[0] if window is not None else x.shape[1]
    signal = x if x.ndim == 3 else expand_dims(x, -1)
    frames = (signal.shape[1] - size) // hop + 1
    places = reshape(FUNCTIONS["arange"](frames) * hop, (frames, 1)) + FUNCTIONS["arange"](size)
    cut = take(signal, places, 1)
    if window is not None:
        cut = cut * reshape(window, (window.shape[0], 1))
    return transformed(cut, 2, size, inverse=False, onesided=bool(call.attribute("onesided", 1)))


@translates("MelWeightMatrix")
def _mel_weight_matrix(call: Call, *inputs: Tensor) -> Tensor:
    """Triangles over the bins of a spectrum, evenly spaced in mel: options decide all of it, so it is a constant."""
    bins, length, rate, low, high = (call.number(k, "the filters", 0) for k in range(5))
    dtype = element_name(call.attribute("output_datatype", 1))
    mel = [2595 * math.log10(1 + edge / 700) for edge in (low, high)]
    edges = mel[0] + np.arange(int(bins) + 2) * ((mel[1] - mel[0]) / (int(bins) + 2))
    places = np.floor((int(length) + 1) * 700 * (10 ** (edges / 2595) - 1) / rate).astype("int64")
    row = np.arange(int(length) // 2 + 1)[:, None]
    left, centre, right = places[:-2], places[1:-1], places[2:]
    rising = np.where(centre > left, (row - left) / np.maximum(centre - left, 1), 1.0)
    falling = (right - row) / np.maximum(right - centre, 1)
    weights = np.where((row >= left) & (row <= centre), rising, 0.0)
    weights = np.where((row >= centre) & (row < right), falling, weights)
    return constant(weights.astype(numpy_dtype(dtype)))
