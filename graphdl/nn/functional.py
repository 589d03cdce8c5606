"""Layers, activations and losses as functions, under the names of `torch.nn.functional`."""

from __future__ import annotations

from ..ops.activation import (
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softsign,
    tanh,
)
from .activation import log_softmax, softmax, softplus
from .classification import binary_cross_entropy_with_logits, cross_entropy, kl_div, nll_loss
from .dropout import dropout, dropout2d
from .embedding import embedding, one_hot
from .linear import bilinear, linear
from .normalization import group_norm, layer_norm, rms_norm
from .regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss

__all__ = [
    "bilinear",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "mish",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "relu6",
    "rms_norm",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]
