"""Activations and what normalises along an axis: softmax and its kin."""

from __future__ import annotations

import math

from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.activation import gelu, mish, sigmoid, silu, softsign
from ...ops.rectifier import elu, hardsigmoid, hardswish, leaky_relu, relu, selu
from ...ops.select import where
from ...ops.shape import flatten, reshape
from ...ops.softmax import log_softmax, softmax
from ...ops.source import Iota
from ..registry import Call, translates


@translates("Relu")
def _relu(call: Call, x: Tensor) -> Tensor:
    return relu(x) if x.dtype.startswith(("float", "bfloat")) else FUNCTIONS["maximum"](x, 0)


@translates("Sigmoid")
def _sigmoid(call: Call, x: Tensor) -> Tensor:
    return sigmoid(x)


@translates("LeakyRelu")
def _leaky_relu(call: Call, x: Tensor) -> Tensor:
    return leaky_relu(x, call.attribute("alpha", 0.01))


@translates("PRelu")
def _prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    # Before opset 7, a slope of one axis is one for each channel.
    if call.opset < 7 and slope.ndim == 1 and slope.shape != (1,):
        slope = reshape(slope, (slope.shape[0], *[1] * (x.ndim - 2)))
    return where(x < 0, x * slope, x)


@translates("Elu")
def _elu(call: Call, x: Tensor) -> Tensor:
    return elu(x, call.attribute("alpha", 1.0))


@translates("Celu")
def _celu(call: Call, x: Tensor) -> Tensor:
    alpha = call.attribute("alpha", 1.0)
    return elu(x / alpha) * alpha


@translates("Selu")
def _selu(call: Call, x: Tensor) -> Tensor:
    alpha, gamma = call.attribute("alpha", 1.67326319217681884765625), call.attribute("gamma", 1.05070102214813232421875)
    return selu(x) if (alpha, gamma) == (1.67326319217681884765625, 1.05070102214813232421875) else elu(x, alpha) * gamma


@translates("Gelu")
@translates("Gelu", domain="com.microsoft")
def _gelu(call: Call, x: Tensor) -> Tensor:
    return gelu(x, call.attribute("approximate", "none"))


@translates("FastGelu", domain="com.microsoft")
def _fast_gelu(call: Call, x: Tensor, bias: Tensor | None = None) -> Tensor:
    return gelu(x if bias is None else x + bias, "tanh")


@translates("BiasGelu", domain="com.microsoft")
def _bias_gelu(call: Call, x: Tensor, bias: Tensor) -> Tensor:
    return gelu(x + bias)


@translates("QuickGelu", domain="com.microsoft")
def _quick_gelu(call: Call, x: Tensor) -> Tensor:
    return x * sigmoid(x * call.attribute("alpha", 1.702))


@translates("Mish")
def _mish(call: Call, x: Tensor) -> Tensor:
    return mish(x)


@translates("HardSwish")
def _hard_swish(call: Call, x: Tensor) -> Tensor:
    return hardswish(x)


@translates("HardSigmoid")
def _hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    return hardsigmoid(x) if math.isclose(alpha, 1 / 6, rel_tol=1e-9) and beta == 0.5 else FUNCTIONS["clip"](x * alpha + beta, 0.0, 1.0)


@translates("Swish")
def _swish(call: Call, x: Tensor) -> Tensor:
    alpha = call.attribute("alpha", 1.0)
    return silu(x) if alpha == 1 else x * sigmoid(x * alpha)


@translates("Softplus")
def _softplus(call: Call, x: Tensor) -> Tensor:
    return FUNCTIONS["softplus"](x)


@translates("Softsign")
def _softsign(call: Call, x: Tensor) -> Tensor:
    return softsign(x)


@translates("Shrink")
def _shrink(call: Call, x: Tensor) -> Tensor:
    bias, bound = call.attribute("bias", 0.0), call.attribute("lambd", 0.5)
    exact = x.astype("float64") if not x.dtype.startswith(("float", "bfloat")) else x
    return where(exact < -bound, exact + bias, where(exact > bound, exact - bias, 0.0)).astype(x.dtype)


@translates("ThresholdedRelu")
def _thresholded_relu(call: Call, x: Tensor) -> Tensor:
    return where(x > call.attribute("alpha", 1.0), x, 0.0)


def _along_axis(call: Call, x: Tensor) -> tuple[Tensor, int]:
    """What to normalise and the axis: before opset 13 all axes from `axis` (1) on are one, since then `axis` (-1) stands alone."""
    if call.opset >= 13:
        return x, call.attribute("axis", -1)
    axis = call.attribute("axis", 1) % max(x.ndim, 1)
    return flatten(x, axis, -1) if axis < x.ndim - 1 else x, axis


@translates("Softmax")
def _softmax(call: Call, x: Tensor) -> Tensor:
    flat, axis = _along_axis(call, x)
    return reshape(softmax(flat, axis), x.shape)


@translates("LogSoftmax")
def _log_softmax(call: Call, x: Tensor) -> Tensor:
    flat, axis = _along_axis(call, x)
    return reshape(log_softmax(flat, axis), x.shape)


@translates("Hardmax")
def _hardmax(call: Call, x: Tensor) -> Tensor:
    flat, axis = _along_axis(call, x)
    chosen = flat.argmax(axis=axis, keepdims=True)
    place = Iota(flat.shape, axis % flat.ndim, "int64")()
    return reshape((place == chosen).astype(x.dtype), x.shape)
