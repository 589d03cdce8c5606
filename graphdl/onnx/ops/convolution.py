"""Products: matrices, einsum, convolution in all its forms."""

from __future__ import annotations

from ...errors import FormatError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.convolution import convolution, flipped
from ...ops.matmul import matmul
from ...ops.shape import reshape, transpose
from ...sizes import Dim, ceildiv, maximum
from ..registry import Call, translates
from .windows import Windows


@translates("MatMul")
def _matmul(call: Call, x: Tensor, y: Tensor) -> Tensor:
    return matmul(x, y)


@translates("Gemm")
def _gemm(call: Call, x: Tensor, y: Tensor, z: Tensor | None = None) -> Tensor:
    a = transpose(x) if call.attribute("transA", 0) else x
    b = transpose(y) if call.attribute("transB", 0) else y
    found = scaled(matmul(a, b), call.attribute("alpha", 1.0))
    return found if z is None else found + scaled(z, call.attribute("beta", 1.0))


def scaled(x: Tensor, factor: float) -> Tensor:
    """x times a number, in x's dtype."""
    if factor == 1:
        return x
    return x * factor if x.dtype.startswith(("float", "bfloat")) else (x.astype("float64") * factor).astype(x.dtype)


@translates("FusedMatMul", domain="com.microsoft")
def _fused_matmul(call: Call, x: Tensor, y: Tensor) -> Tensor:
    a = FUNCTIONS["swapaxes"](x, -1, -2) if call.attribute("transA", 0) else x
    b = FUNCTIONS["swapaxes"](y, -1, -2) if call.attribute("transB", 0) else y
    return scaled(matmul(a, b), call.attribute("alpha", 1.0))


@translates("Einsum")
def _einsum(call: Call, *x: Tensor) -> Tensor:
    return FUNCTIONS["einsum"](call.required("equation"), *x)


@translates("Conv")
def _conv(call: Call, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    return with_bias(convolved(call, x, w), bias)


@translates("FusedConv", domain="com.microsoft")
def _fused_conv(call: Call, x: Tensor, w: Tensor, bias: Tensor | None = None, z: Tensor | None = None) -> Tensor:
    found = with_bias(convolved(call, x, w), bias)
    found = found if z is None else found + z
    kind = call.attribute("activation", "")
    if kind not in ("", "Relu", "Sigmoid", "Tanh"):
        raise FormatError(f"the activation {kind!r} of a fused convolution is not supported")
    return FUNCTIONS[kind.lower()](found) if kind else found


def convolved(call: Call, x: Tensor, w: Tensor) -> Tensor:
    """x convolved with w under the node's attributes."""
    windows = Windows.of(call, x, w.shape[2:])
    return convolution(x, w, windows.strides, list(zip(windows.low, windows.high, strict=True)), windows.dilations, 1, call.attribute("group", 1))


def with_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    """x (N, C, ...) with a bias (C) added."""
    return x if bias is None else x + reshape(bias, (bias.shape[0], *[1] * (x.ndim - 2)))


@translates("ConvTranspose")
def _conv_transpose(call: Call, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    spatial, groups = x.ndim - 2, call.attribute("group", 1)
    strides = tuple(call.attribute("strides", (1,) * spatial))
    dilations = tuple(call.attribute("dilations", (1,) * spatial))
    extra = tuple(call.attribute("output_padding", (0,) * spatial))
    reach = [(taps - 1) * d for taps, d in zip(w.shape[2:], dilations, strict=True)]
    whole = [(size - 1) * s + r + 1 + e for size, s, r, e in zip(x.shape[2:], strides, reach, extra, strict=True)]
    borders = []
    for k, (low, high) in enumerate(_cuts(call, x, whole, strides)):
        borders.append((reach[k] - low, reach[k] - high + extra[k]))
    return with_bias(convolution(x, flipped(w, groups), 1, borders, dilations, strides, groups), bias)


def _cuts(call: Call, x: Tensor, whole: list[Dim], strides: tuple[int, ...]) -> list[tuple[Dim, Dim]]:
    """How much of the whole transposed convolution is cut off on both sides of every spatial axis."""
    spatial, mode = x.ndim - 2, call.attribute("auto_pad", "NOTSET")
    wanted: list[Dim] | None = list(call.attributes["output_shape"])[-spatial:] if "output_shape" in call.attributes else None
    if wanted is None and mode.startswith("SAME"):
        wanted = [size * s for size, s in zip(x.shape[2:], strides, strict=True)]
    if wanted is None:
        pads = tuple(call.attribute("pads", (0,) * 2 * spatial))
        return list(zip(pads[:spatial], pads[spatial:], strict=True))
    totals = [a - b for a, b in zip(whole, wanted, strict=True)]
    # What a wanted shape has beyond the whole convolution is filled up at the end.
    cut = [maximum(total, 0) for total in totals]
    low = [total // 2 if mode == "SAME_UPPER" else ceildiv(total, 2) for total in cut]
    return [(first, total - first) for first, total in zip(low, totals, strict=True)]


@translates("Col2Im")
def _col2im(call: Call, x: Tensor, image: Tensor, block: Tensor) -> Tensor:
    """Columns added up at the places of the image that they were taken from: a transposed convolution with one-hot weights."""
    sizes, taps = call.sizes(image, "the image's shape"), [int(one) for one in call.needed(block, "the block's shape")]
    spatial = len(sizes)
    strides = tuple(call.attribute("strides", (1,) * spatial))
    dilations = tuple(call.attribute("dilations", (1,) * spatial))
    pads = tuple(call.attribute("pads", (0,) * 2 * spatial))
    counts = [(size + pads[k] + pads[k + spatial] - (t - 1) * dilations[k] - 1) // strides[k] + 1 for k, (size, t) in enumerate(zip(sizes, taps, strict=True))]
    count = 1
    for t in taps:
        count *= t
    places = FUNCTIONS["arange"](count)
    one_hot = (reshape(places, (count, 1)) == places).astype(x.dtype)
    weights = reshape(one_hot, (count, 1, *taps))
    channels = x.shape[1] // count
    data = reshape(x, (x.shape[0] * channels, count, *counts))
    borders = []
    for k in range(spatial):
        reach = (taps[k] - 1) * dilations[k]
        whole = (counts[k] - 1) * strides[k] + reach + 1
        borders.append((reach - pads[k], reach - (whole - pads[k] - sizes[k])))
    found = convolution(data, flipped(weights, 1), 1, borders, dilations, strides, 1)
    return reshape(found, (x.shape[0], channels, *sizes))
