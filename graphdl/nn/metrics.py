"""Measures of a model's outputs as scalar tensors: graph like any other, computed with the loss."""

from __future__ import annotations

from ..errors import ShapeError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.extremum import argmax
from ..ops.indexing import take_along_axis
from ..ops.shape import expand_dims
from ..types import is_floating
from .regression import l1_loss, mse_loss


def accuracy(input: Tensor, target: Tensor) -> Tensor:
    """The share of rows whose largest value on the last axis stands at `target`: input (..., C), integer target (...)."""
    _check_classes("accuracy", input, target)
    return _share(argmax(input, axis=-1) == target.astype("int64"), input)


def top_k_accuracy(input: Tensor, target: Tensor, k: int = 5) -> Tensor:
    """The share of rows where fewer than `k` values on the last axis are larger than the one at `target`."""
    _check_classes("top_k_accuracy", input, target)
    chosen = take_along_axis(input, expand_dims(target, -1), axis=-1)
    larger = (input > chosen).astype("int64").sum(axis=-1)
    return _share(larger < k, input)


def binary_accuracy(input: Tensor, target: Tensor, threshold: float = 0.0) -> Tensor:
    """The share of elements where `input > threshold` agrees with `target > 1/2`; the threshold 0 is for logits."""
    right = (target > 0.5) if is_floating(target.dtype) else target.astype("bool")
    return _share((input > threshold) == right, input)


def mean_squared_error(input: Tensor, target: Tensor) -> Tensor:
    """The mean of (input - target)²."""
    return mse_loss(input, target)


def root_mean_squared_error(input: Tensor, target: Tensor) -> Tensor:
    """The square root of the mean of (input - target)²; over several batches, the mean of theirs."""
    return mse_loss(input, target).sqrt()


def mean_absolute_error(input: Tensor, target: Tensor) -> Tensor:
    """The mean of |input - target|."""
    return l1_loss(input, target)


def perplexity(loss: Tensor) -> Tensor:
    """exp of a mean cross entropy; over several batches, the mean of theirs."""
    return loss.exp()


def _share(hits: Tensor, like: Tensor) -> Tensor:
    return hits.astype(like.dtype).mean()


def _check_classes(name: str, input: Tensor, target: Tensor) -> None:
    if target.ndim != input.ndim - 1 or is_floating(target.dtype):
        raise ShapeError(f"{name}: {describe(input)} needs an integer target of its shape without the last axis, got {describe(target)}")
