"""Integer arithmetic with scales and zero points, of ONNX and of com.microsoft."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import FormatError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...op import normalize_axis
from ...ops.convolution import convolution
from ...ops.matmul import matmul
from ...ops.shape import expand_dims, reshape
from ...sizes import ceildiv
from ...types import is_floating, numpy_dtype
from ..elements import element_name
from ..registry import Call, translates
from .convolution import convolved, with_bias
from .recurrent import Product, Products, directions, recurrent
from .windows import Windows


def _spread(call: Call, part: Tensor, x: Tensor) -> Tensor:
    """A scale or zero point, to be broadcast against x: one for all, one for each place of `axis`, or one for each block along it."""
    if part.size == 1:
        return reshape(part, ())
    axis = normalize_axis(call.attribute("axis", 1), x.ndim)
    if part.ndim == 1:
        return reshape(part, (part.shape[0], *[1] * (x.ndim - axis - 1)))
    block = call.attribute("block_size", 0) or ceildiv(x.shape[axis], part.shape[axis])
    result: Tensor = FUNCTIONS["repeat"](part, block, axis)
    size = x.shape[axis]
    return result[tuple(slice(0, size) if k == axis else slice(None) for k in range(x.ndim))]


def quantised(x: Tensor, scale: Tensor, zero: Tensor | None, dtype: str) -> Tensor:
    """round(x / scale) + zero within the range of `dtype`, halves to even."""
    limits = np.iinfo(numpy_dtype(dtype))
    found = FUNCTIONS["round"](x / scale)
    found = found if zero is None else found + zero.astype(found.dtype)
    return FUNCTIONS["clip"](found, float(limits.min), float(limits.max)).astype(dtype)


@translates("QuantizeLinear")
@translates("QuantizeLinear", domain="com.microsoft")
def _quantize(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    # An axis since opset 13, blocks and `output_dtype` since opset 21, `precision` since opset 23.
    told = call.attribute("output_dtype", 0)
    dtype = zero.dtype if zero is not None else element_name(told) if told else "uint8"
    point = None if zero is None else _spread(call, zero, x)
    wide = element_name(call.attributes["precision"]) if call.attribute("precision", 0) else x.dtype if is_floating(x.dtype) else "float32"
    return quantised(x.astype(wide), _spread(call, scale, x).astype(wide), point, dtype)


@translates("DequantizeLinear")
@translates("DequantizeLinear", domain="com.microsoft")
def _dequantize(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    dtype = element_name(call.attributes["output_dtype"]) if call.attribute("output_dtype", 0) else scale.dtype
    return (_less(x, None if zero is None else _spread(call, zero, x)).astype(scale.dtype) * _spread(call, scale, x)).astype(dtype)


def _less(x: Tensor, zero: Tensor | None) -> Tensor:
    """x - zero in int32, where no difference of small integers overflows."""
    wide = x.astype("int32")
    return wide if zero is None else wide - zero.astype("int32")


@translates("DynamicQuantizeLinear")
def dynamically_quantised(call: Call, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x as uint8 over the range of its own values and 0, with the scale and the zero point."""
    high, low = FUNCTIONS["maximum"](x.max(), 0.0), FUNCTIONS["minimum"](x.min(), 0.0)
    scale = (high - low) / 255.0
    scale = FUNCTIONS["where"](scale == 0, 1.0, scale)
    zero = FUNCTIONS["clip"](FUNCTIONS["round"](-low / scale), 0.0, 255.0).astype("uint8")
    return quantised(x, scale, zero, "uint8"), scale, zero


@translates("MatMulInteger")
def _matmul_integer(call: Call, x: Tensor, y: Tensor, x_zero: Tensor | None = None, y_zero: Tensor | None = None) -> Tensor:
    return integer_product(call, x, x_zero, y, y_zero)


def integer_product(call: Call, x: Tensor, x_zero: Tensor | None, y: Tensor, y_zero: Tensor | None) -> Tensor:
    """The int32 product of 8-bit integers less their zero points; x's may be one for each row."""
    rows, columns = _told(call, x_zero), _told(call, y_zero)
    if x.ndim > 2 == y.ndim and (rows is None or rows.size == 1):  # one tall product of bytes
        flat = _product(_less(reshape(x, (-1, x.shape[-1])), _scalar(rows)), y, columns)
        return reshape(flat, (*x.shape[:-1], y.shape[-1]))
    return _product(_less(x, _row_zero(rows)), y, columns)


def _told(call: Call, zero: Tensor | None) -> Tensor | None:
    """A zero point, None if the file says that it is zero."""
    known = None if zero is None else call.known(zero)
    return None if known is not None and not known.any() else zero


def _product(x: Tensor, y: Tensor, zero: Tensor | None) -> Tensor:
    """The int32 product of x with y - zero, differences of 8-bit integers.

    It is x y - zero sum(x): so y is read as it lies, in bytes, and nothing as large as y is computed.
    """
    found = matmul(x, y.astype("int32"))
    return found if zero is None else found - x.sum(axis=-1, keepdims=True).astype("int32") * zero.astype("int32")


def _row_zero(zero: Tensor | None) -> Tensor | None:
    """A zero point of the left operand: one for all or one for each row."""
    return zero if zero is None or zero.ndim != 1 or zero.shape[0] == 1 else expand_dims(zero, -1)


@translates("ConvInteger")
def _conv_integer(call: Call, x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None) -> Tensor:
    return _convolved(call, x, x_zero, w, w_zero)


def _convolved(call: Call, x: Tensor, x_zero: Tensor | None, w: Tensor, w_zero: Tensor | None) -> Tensor:
    """The int32 convolution of differences of 8-bit integers.

    It is that of x less the sum of all weights of an output times x's zero point, if the border too is x's zero point.
    """
    zero, weights = _scalar(_told(call, x_zero)), _less(w, _per_output(_told(call, w_zero), w))
    if zero is None:
        return convolved(call, x.astype("int32"), weights)
    windows = Windows.of(call, x, w.shape[2:])
    border = [(0, 0), (0, 0), *zip(windows.low, windows.high, strict=True)]
    padded = FUNCTIONS["pad"](x ^ zero, border) ^ zero if any(width != 0 for pair in border for width in pair) else x
    found = convolution(padded.astype("int32"), weights, windows.strides, 0, windows.dilations, 1, call.attribute("group", 1))
    total = weights.sum(axis=tuple(range(1, w.ndim))).astype("int32")
    return found - reshape(total, (w.shape[0], *[1] * (w.ndim - 2))) * zero.astype("int32")


def _scalar(x: Tensor | None) -> Tensor | None:
    return None if x is None else reshape(x, ())


def _per_output(x: Tensor | None, w: Tensor) -> Tensor | None:
    """A scale or zero point of convolution weights: one for all or one for each output."""
    if x is None or x.size == 1:
        return _scalar(x)
    return reshape(x, (x.shape[0], *[1] * (w.ndim - 1)))


@translates("QLinearMatMul")
def _qlinear_matmul(call: Call, x: Tensor, xs: Tensor, xz: Tensor, y: Tensor, ys: Tensor, yz: Tensor, s: Tensor, z: Tensor) -> Tensor:
    exact = integer_product(call, x, xz, y, yz).astype("float32")
    row = _row_zero(xs)
    assert row is not None
    wide = [one.astype("float32") for one in (row, ys, s)]
    return quantised(exact, wide[2] / (wide[0] * wide[1]), z, z.dtype)


@translates("QLinearConv")
def _qlinear_conv(call: Call, x: Tensor, xs: Tensor, xz: Tensor, w: Tensor, ws: Tensor, wz: Tensor, s: Tensor, z: Tensor, bias: Tensor | None = None) -> Tensor:
    exact = with_bias(_convolved(call, x, xz, w, wz), bias).astype("float32")
    scale = ws if ws.size == 1 else reshape(ws, (ws.shape[0], *[1] * (w.ndim - 2)))
    return quantised(exact, reshape(s, ()) / (reshape(xs, ()) * (reshape(scale, ()) if ws.size == 1 else scale)), _scalar(z), z.dtype)


@translates("DynamicQuantizeMatMul", domain="com.microsoft")
def _dynamic_quantize_matmul(call: Call, x: Tensor, y: Tensor, scale: Tensor, zero: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    small, step, point = dynamically_quantised(call, x)
    found = integer_product(call, small, point, y, zero).astype("float32") * (step * scale)
    return found if bias is None else found + bias


@translates("MatMulIntegerToFloat", domain="com.microsoft")
def _matmul_integer_to_float(call: Call, x: Tensor, y: Tensor, xs: Tensor, ys: Tensor, *rest: Tensor | None) -> Tensor:
    xz, yz, bias = (*rest, None, None, None)[:3]
    found = integer_product(call, x, xz, y, yz).astype(xs.dtype) * (_row_zero(xs) * ys)
    return found if bias is None else found + bias


@translates("DynamicQuantizeLSTM", domain="com.microsoft")
def _dynamic_quantize_lstm(call: Call, x: Tensor, w: Tensor, r: Tensor, *rest: Tensor | None) -> Any:
    """The LSTM of weights (directions, inputs, gates) of 8 bits with a scale for all or for each gate. As in ONNX Runtime the whole
    input is quantised at once, and the state at every step."""
    bias, lengths, h, c, peepholes, ws, wz, rs, rz = (*rest, *[None] * 9)[:9]
    if ws is None or rs is None:
        raise FormatError("the scales of the weights are missing")
    products: list[Products] = [(_quantised_product(call, w, ws, wz, k), _quantised_product(call, r, rs, rz, k), None) for k in range(len(directions(call)))]
    return recurrent(replace(call, op="LSTM"), x, products, bias, lengths, h, c, peepholes)


def _quantised_product(call: Call, w: Tensor, scale: Tensor, zero: Tensor | None, direction: int) -> Product:
    """Products of floats, quantised when they come, with the weights of a direction."""
    points = _told(call, zero)

    def times(x: Tensor) -> Tensor:
        small, step, point = dynamically_quantised(call, x)
        found = integer_product(call, small, point, w[direction], None if points is None else points[direction])
        return found.astype(x.dtype) * (step * scale[direction])

    return times
