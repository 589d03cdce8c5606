"""Losses between distributions: cross entropy, likelihood of classes, binary cross entropy, Kullback-Leibler."""

from __future__ import annotations

from typing import Any

from ..constraints import unify
from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor, as_tensor
from ..ops.cross_entropy import CrossEntropy
from ..ops.elementwise import align, describe
from ..ops.indexing import take, take_along_axis
from ..ops.select import where
from ..ops.shape import expand_dims, reshape, transpose
from ..ops.softmax import log_softmax
from ..ops.source import full
from ..types import is_floating, is_integer
from .reduction import Loss, checked_reduction, reduced


def cross_entropy(
    input: Tensor, target: Tensor, weight: Any = None, *, ignore_index: int | None = None, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """log sum exp(z) - z[target] for each row of logits z, reduced; probabilities as targets give -Σ p log softmax(z).

    `input` is (C,), (N, C) or (N, C, d1, ...). Integer targets have its shape without C, floating ones its shape.
    `weight` (C,) scales each class, and the mean divides by the weights' sum. Rows whose target is `ignore_index` do not
    count; unlike in PyTorch, where it is -100, none is ignored unless it is given, so a stray label is an error.
    `label_smoothing` mixes the targets with the uniform distribution (Szegedy et al. 2016).
    Raises TypeRuleError and ShapeError for targets that do not fit.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing lies in [0, 1], not {label_smoothing}")
    weights = None if weight is None else as_tensor(weight).astype(input.dtype)
    if is_floating(target.dtype):
        return _soft_cross_entropy(input, target, weights, reduction, label_smoothing)
    rows, labels = _rows("cross_entropy", input, target)
    losses, scale = CrossEntropy(ignore_index)(rows, labels), _scale(rows, labels, weights, ignore_index)
    if weights is not None:
        losses = losses * scale
    if label_smoothing:
        uniform = -_weighted(log_softmax(rows, 1), weights).sum(axis=1) / full((), rows.shape[1], rows.dtype)
        uniform = uniform if ignore_index is None else where(labels == ignore_index, 0.0, uniform)
        losses = (1 - label_smoothing) * losses + label_smoothing * uniform
    return _finish(losses, target, scale, reduction)


def nll_loss(input: Tensor, target: Tensor, weight: Any = None, *, ignore_index: int | None = None, reduction: str = "mean") -> Tensor:
    """-input[target] for log-probabilities `input` of shape (C,), (N, C) or (N, C, d1, ...), reduced as in `cross_entropy`."""
    rows, labels = _rows("nll_loss", input, target)
    scale = _scale(rows, labels, None if weight is None else as_tensor(weight).astype(input.dtype), ignore_index)
    losses = -reshape(take_along_axis(rows, expand_dims(_used(rows, labels, ignore_index), 1), axis=1), (-1,))
    return _finish(losses if scale is None else losses * scale, target, scale, reduction)


def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> Tensor:
    """-(p t log σ(x) + (1 - t) log(1 - σ(x))) for logits x and targets t in [0, 1], in the stable form, reduced.

    `weight` scales every loss and `pos_weight`, p above, those of positive targets; both broadcast.
    """
    if input.ndim != target.ndim:
        raise ShapeError(f"binary_cross_entropy_with_logits: the input {describe(input)} and the target {describe(target)} have different numbers of axes")
    x, t = align(input, target.astype(input.dtype), floating=True)
    losses = x.softplus() - t * x
    if pos_weight is not None:
        losses = (1 - t) * x + (1 + (as_tensor(pos_weight).astype(x.dtype) - 1) * t) * (-x).softplus()
    return reduced(losses if weight is None else losses * as_tensor(weight).astype(x.dtype), reduction)


def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target (log target - input) for log-probabilities `input`, 0 where the target is 0; "batchmean" sums and divides by N.

    The divergence of Kullback and Leibler 1951 is the batch mean; "mean" divides by the number of elements instead.
    """
    checked_reduction(reduction, ("batchmean",))
    x, t = align(input, target, floating=True)
    if log_target:
        losses = t.exp() * (t - x)
    else:
        positive = t > 0
        losses = where(positive, t * where(positive, t, 1.0).log(), 0.0) - t * x
    if reduction != "batchmean":
        return reduced(losses, reduction)
    return losses.sum() / full((), x.shape[0] if x.ndim else 1, x.dtype)


def _soft_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float) -> Tensor:
    if input.ndim != target.ndim:
        raise ShapeError(f"cross_entropy: the logits {describe(input)} need integer classes or probabilities of their shape, got {describe(target)}")
    rows, probabilities = _classes_last(input), _classes_last(target.astype(input.dtype))
    if smoothing:
        probabilities = (1 - smoothing) * probabilities + smoothing / full((), rows.shape[1], rows.dtype)
    losses = -_weighted(probabilities * log_softmax(rows, 1), weight).sum(axis=1)
    return _finish(losses, input[0] if input.ndim == 1 else input[:, 0], None, reduction)


def _classes_last(input: Tensor) -> Tensor:
    """(C,), (N, C) or (N, C, d1, ...) as a matrix with a row for each target."""
    if input.ndim < 2:
        return reshape(input, (1, -1))
    moved = transpose(input, (0, *range(2, input.ndim), 1))
    return reshape(moved, (-1, input.shape[1]))


def _rows(name: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The logits as a matrix and the integer targets as a vector. Raises TypeRuleError and ShapeError."""
    if not is_integer(target.dtype):
        raise TypeRuleError(f"{name}: the targets {describe(target)} must be integers")
    if input.ndim == 0 or target.ndim != input.ndim - 1:
        raise ShapeError(f"{name}: targets for {describe(input)} have its shape without the classes' axis, got {describe(target)}")
    expected = (*input.shape[:1], *input.shape[2:]) if input.ndim > 1 else ()
    for own, given in zip(expected, target.shape, strict=True):
        unify(own, given, f"{name}: the shape of {describe(input)} without its classes and that of {describe(target)}")
    return _classes_last(input), reshape(target, (-1,))


def _used(rows: Tensor, labels: Tensor, ignored: int | None) -> Tensor:
    """The labels as indices: 0 for those that are ignored, past the end for negative ones, which do not count from it."""
    used = where(labels < 0, full(labels.shape, rows.shape[1], labels.dtype), labels)
    return used if ignored is None else where(labels == ignored, 0, used)


def _scale(rows: Tensor, labels: Tensor, weights: Tensor | None, ignored: int | None) -> Tensor | None:
    """The weight of each row, or None where all have 1."""
    scale = None if weights is None else take(weights, _used(rows, labels, ignored), axis=0)
    if ignored is None:
        return scale
    counted: Tensor = (labels != ignored).astype(rows.dtype)
    return counted if scale is None else scale * counted


def _weighted(terms: Tensor, weights: Tensor | None) -> Tensor:
    return terms if weights is None else terms * weights


def _finish(losses: Tensor, like: Tensor, scale: Tensor | None, reduction: str) -> Tensor:
    if checked_reduction(reduction) == "none":
        return reshape(losses, like.shape)
    return reduced(losses, reduction, None if scale is None else scale.sum())


class CrossEntropyLoss(Loss):
    """`cross_entropy` as a module; `weight` is a buffer."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, *, ignore_index: int | None = None, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction, label_smoothing=self.label_smoothing)


class NLLLoss(Loss):
    """`nll_loss` as a module; `weight` is a buffer."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, *, ignore_index: int | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """`binary_cross_entropy_with_logits` as a module; its weights are buffers."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight)


class KLDivLoss(Loss):
    """`kl_div` as a module."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
