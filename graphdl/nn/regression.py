"""Losses between numbers: squared, absolute and in between."""

from __future__ import annotations

from ..errors import ShapeError
from ..ir import Tensor
from ..ops.elementwise import align, describe
from ..ops.select import where
from .reduction import Loss, reduced


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """(input - target)², reduced."""
    difference = _difference(input, target, "mse_loss")
    return reduced(difference * difference, reduction)


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """|input - target|, reduced."""
    return reduced(abs(_difference(input, target, "l1_loss")), reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared difference up to `delta`, then linear: delta (|d| - delta / 2). Huber 1964."""
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, not {delta}")
    difference = _difference(input, target, "huber_loss")
    size = abs(difference)
    return reduced(where(size < delta, 0.5 * difference * difference, delta * (size - 0.5 * delta)), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Huber's loss over `beta`: d² / (2 beta) up to `beta`, then |d| - beta / 2. Girshick 2015."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, not {beta}")
    difference = _difference(input, target, "smooth_l1_loss")
    size = abs(difference)
    if beta == 0:
        return reduced(size, reduction)
    return reduced(where(size < beta, difference * difference * (0.5 / beta), size - 0.5 * beta), reduction)


def _difference(input: Tensor, target: Tensor, name: str) -> Tensor:
    """input - target. Shapes that broadcast by accident, such as (N,) against (N, 1), are refused."""
    if input.ndim != target.ndim:
        raise ShapeError(f"{name}: the input {describe(input)} and the target {describe(target)} have different numbers of axes: reshape one of them")
    x, y = align(input, target, floating=True)
    return x - y


class MSELoss(Loss):
    """`mse_loss` as a module."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """`l1_loss` as a module."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return l1_loss(input, target, reduction=self.reduction)


class HuberLoss(Loss):
    """`huber_loss` as a module."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return huber_loss(input, target, self.reduction, self.delta)


class SmoothL1Loss(Loss):
    """`smooth_l1_loss` as a module."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)
