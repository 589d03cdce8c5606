"""Normalisation over batches, layers, groups and channels, and dropout."""

from __future__ import annotations

from typing import Any

from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...op import normalize_axis
from ...ops.shape import reshape
from ...ops.source import full
from ...ops.window_sum import WindowSum
from ...sizes import divides
from ..elements import element_name
from ..registry import Call, translates


def _per_channel(x: Tensor, like: Tensor) -> Tensor:
    """A vector over the channels of `like` (N, C, ...), to be broadcast."""
    return reshape(x, (x.shape[0], *[1] * (like.ndim - 2)))


@translates("BatchNormalization")
def _batch_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Any:
    # `training_mode` since opset 14: then the batch's own statistics are used, and the running ones move towards them.
    epsilon = call.attribute("epsilon", 1e-5)
    if not call.attribute("training_mode", 0):
        frozen = FUNCTIONS["stop_gradient"]  # statistics are counted, not learned
        return _normalised(x, frozen(mean), frozen(variance), scale, bias, epsilon)
    axes = (0, *range(2, x.ndim))
    own_mean, own_variance = x.mean(axis=axes), x.var(axis=axes)
    momentum = call.attribute("momentum", 0.9)
    running = [old * momentum + new.astype(old.dtype) * (1 - momentum) for old, new in ((mean, own_mean), (variance, own_variance))]
    return (_normalised(x, own_mean, own_variance, scale, bias, epsilon), *running)


def _normalised(x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    slope = scale.astype(mean.dtype) * FUNCTIONS["rsqrt"](variance + epsilon)
    shift = bias.astype(mean.dtype) - mean * slope
    return (x * _per_channel(slope, x) + _per_channel(shift, x)).astype(x.dtype)


@translates("InstanceNormalization")
def _instance_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    unit, _, _ = _standardised(x, tuple(range(2, x.ndim)), call.attribute("epsilon", 1e-5))
    return unit * _per_channel(scale, x) + _per_channel(bias, x)


def _standardised(x: Tensor, axes: tuple[int, ...], epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """x with mean 0 and variance 1 over `axes`, its mean and the factor that it was scaled by."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    factor = FUNCTIONS["rsqrt"]((centred * centred).mean(axis=axes, keepdims=True) + epsilon)
    return centred * factor, mean, factor


@translates("GroupNormalization")
def _group_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    # Scale and bias are per group at opset 18, per channel since opset 21.
    groups = call.required("num_groups")
    inner = divides(groups, x.shape[1])
    apart = reshape(x, (x.shape[0], groups, inner if inner is not None else x.shape[1] // groups, *x.shape[2:]))
    unit, _, _ = _standardised(_wide(call, apart), tuple(range(2, apart.ndim)), call.attribute("epsilon", 1e-5))
    unit = unit.astype(x.dtype)
    if call.opset < 21:
        slope, shift = (reshape(one, (groups, *[1] * (apart.ndim - 2))) for one in (scale, bias))
        return reshape(unit * slope + shift, x.shape)
    return reshape(unit, x.shape) * _per_channel(scale, x) + _per_channel(bias, x)


def _wide(call: Call, x: Tensor) -> Tensor:
    """x in the dtype in which statistics are computed: `stash_type`."""
    return x.astype(element_name(call.attribute("stash_type", 1))) if x.dtype != "float64" else x


@translates("LayerNormalization")
def _layer_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> tuple[Tensor, ...]:
    axes = tuple(range(normalize_axis(call.attribute("axis", -1), x.ndim), x.ndim))
    unit, mean, factor = _standardised(_wide(call, x), axes, call.attribute("epsilon", 1e-5))
    found = unit.astype(x.dtype) * scale
    return (found if bias is None else found + bias), mean, factor


@translates("RMSNormalization")
@translates("SimplifiedLayerNormalization")
def _rms_normalization(call: Call, x: Tensor, scale: Tensor) -> Tensor:
    axes = tuple(range(normalize_axis(call.attribute("axis", -1), x.ndim), x.ndim))
    wide = _wide(call, x)
    factor = FUNCTIONS["rsqrt"]((wide * wide).mean(axis=axes, keepdims=True) + call.attribute("epsilon", 1e-5))
    return (wide * factor).astype(x.dtype) * scale


@translates("SkipLayerNormalization", domain="com.microsoft")
def _skip_layer_normalization(call: Call, x: Tensor, skip: Tensor, *rest: Tensor | None) -> tuple[Tensor | None, ...]:
    scale, shift, bias = (*rest, None, None, None)[:3]
    total = x + skip if bias is None else x + skip + bias
    unit, mean, factor = _standardised(total, (total.ndim - 1,), call.attribute("epsilon", 1e-12))
    found = unit if scale is None else unit * scale
    return (found if shift is None else found + shift), mean, factor, total


@translates("MeanVarianceNormalization")
def _mean_variance_normalization(call: Call, x: Tensor) -> Tensor:
    axes = tuple(call.attribute("axes", (0, 2, 3)))
    mean = x.mean(axis=axes, keepdims=True)
    square = (x * x).mean(axis=axes, keepdims=True)
    return (x - mean) / (FUNCTIONS["sqrt"](square - mean * mean) + 1e-9)


@translates("LpNormalization")
def _lp_normalization(call: Call, x: Tensor) -> Tensor:
    axis, p = normalize_axis(call.attribute("axis", -1), x.ndim), call.attribute("p", 2)
    norm = abs(x).sum(axis=axis, keepdims=True) if p == 1 else FUNCTIONS["sqrt"]((x * x).sum(axis=axis, keepdims=True))
    return FUNCTIONS["where"](norm == 0, 0.0, x / FUNCTIONS["where"](norm == 0, 1.0, norm))


@translates("LRN")
def _lrn(call: Call, x: Tensor) -> Tensor:
    """Krizhevsky et al. 2012, section 3.3: every channel divided by a norm over its neighbours."""
    size = call.required("size")
    flat = reshape(x * x, (x.shape[0], 1, x.shape[1], -1))
    ones = (1, 1)
    sums = WindowSum((size, 1), ones, ((size - 1) // 2, 0), (size // 2, 0), ones, ones)(flat)
    scale = reshape(sums, x.shape) * (call.attribute("alpha", 1e-4) / size) + call.attribute("bias", 1.0)
    return x / scale ** call.attribute("beta", 0.75)


@translates("Dropout")
def _dropout(call: Call, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None) -> tuple[Tensor, Tensor]:
    # The ratio is an attribute before opset 12; since then the input `training_mode` decides.
    everything = full(x.shape, True, "bool")
    probability = call.attribute("ratio", 0.5) if call.opset < 12 else call.number(1, "the ratio", 0.5)
    if call.opset < 12 or not call.number(2, "the training mode", False) or probability == 0:
        return x, everything
    mask = FUNCTIONS["dropout"](full(x.shape, 1, x.dtype), probability)
    return x * mask, mask != 0
