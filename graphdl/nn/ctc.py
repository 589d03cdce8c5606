"""Connectionist temporal classification (Graves et al. 2006): sequences whose labels are known, but not where each one lies."""

from __future__ import annotations

import functools

from ..constraints import unify
from ..control.scan import scan
from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.indexing import take_along_axis
from ..ops.join import concatenate, stack
from ..ops.numeric import logaddexp
from ..ops.select import where
from ..ops.shape import broadcast_to, expand_dims, reshape, squeeze
from ..ops.source import arange, full
from ..types import is_floating, is_integer
from .reduction import Loss, checked_reduction, reduced

NEVER = -1e30  # the logarithm of the probability of what cannot be: finite, so that differences of two are numbers


def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int = 0,
    reduction: str = "mean", zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """-log of the probability that the outputs spell the targets, summed over all ways to place blanks and to repeat labels.

    `log_probs` (T, N, C) are logarithms of probabilities of classes, `targets` (N, S) integer labels, none of them `blank`, of which
    the first `target_lengths` (N,) count, as do the first `input_lengths` (N,) of the T steps. The mean divides each loss by its target's
    length first, as PyTorch does; a sample that cannot spell its target has an infinite loss, or with `zero_infinity` none and no gradient.
    Equations 6 to 8 of Graves et al. 2006, in logarithms. Raises TypeRuleError and ShapeError for what does not fit.
    """
    _check(log_probs, targets, input_lengths, target_lengths)
    labels = _with_blanks(targets, blank)
    last = _final(_emitted(log_probs, labels), _may_skip(labels, blank), input_lengths.astype("int64"))
    ends = _ends(last, target_lengths.astype("int64"))
    is_possible = ends > NEVER / 2
    losses = where(is_possible, -ends, 0.0 if zero_infinity else float("inf"))
    if checked_reduction(reduction) == "mean":
        losses = losses / target_lengths.astype("int64").maximum(1).astype(losses.dtype)
    return reduced(losses, reduction)


def _check(log_probs: Tensor, targets: Tensor, *lengths: Tensor) -> None:
    if log_probs.ndim != 3 or not is_floating(log_probs.dtype):
        raise TypeRuleError(f"ctc_loss: needs floating log_probs (T, N, C), got {describe(log_probs)}")
    for name, rank, given in (("targets", 2, targets), *(("lengths", 1, x) for x in lengths)):
        if not is_integer(given.dtype):
            raise TypeRuleError(f"ctc_loss: the {name} {describe(given)} must be integers")
        if given.ndim != rank:
            raise ShapeError(f"ctc_loss: the {name} {describe(given)} need {rank} axes, the first for the samples")
        unify(given.shape[0], log_probs.shape[1], f"ctc_loss: the samples of the {name} {describe(given)} and of {describe(log_probs)}")


def _with_blanks(targets: Tensor, blank: int) -> Tensor:
    """(N, 2 S + 1): a blank before, between and behind all labels."""
    samples, count = targets.shape
    labels = targets.astype("int64")
    pairs = reshape(stack([full(labels.shape, blank, "int64"), labels], axis=2), (samples, 2 * count))
    return concatenate([pairs, full((samples, 1), blank, "int64")], axis=1)


def _emitted(log_probs: Tensor, labels: Tensor) -> Tensor:
    """(T, N, 2 S + 1): the logarithm of each label's probability in each step."""
    steps = log_probs.shape[0]
    return take_along_axis(log_probs, broadcast_to(expand_dims(labels, 0), (steps, *labels.shape)), axis=2)


def _may_skip(labels: Tensor, blank: int) -> Tensor:
    """Whether a label may follow the one two places before: it is no blank, and another."""
    before = _shifted(labels, 2, blank)
    return (labels != blank) & (labels != before)


def _shifted(x: Tensor, count: int, filler: float) -> Tensor:
    """The elements of `count` places before, along the last axis."""
    samples, places = x.shape
    return concatenate([full((samples, count), filler, x.dtype), x], axis=1)[:, :places]


def _final(emitted: Tensor, may_skip: Tensor, lengths: Tensor) -> Tensor:
    """(N, 2 S + 1): the logarithms of the probabilities to have spelt all up to a place when a sample's steps are over."""
    samples, places = may_skip.shape
    start = where(expand_dims(arange(places), 0) == 0, full((samples, places), 0, emitted.dtype), NEVER)

    def step(held: Tensor, given: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
        emission, number = given
        ways = [held, _shifted(held, 1, NEVER), where(may_skip, _shifted(held, 2, NEVER), NEVER)]
        return where(expand_dims(number < lengths, 1), _log_of_sum(ways) + emission, held), None

    last, _ = scan(step, start, (emitted, arange(emitted.shape[0])))
    return last


def _log_of_sum(terms: list[Tensor]) -> Tensor:
    """log Σ exp."""
    return functools.reduce(logaddexp, terms)


def _ends(last: Tensor, lengths: Tensor) -> Tensor:
    """(N,): a target is spelt at its last label, or at the blank behind it."""
    behind = take_along_axis(last, expand_dims(2 * lengths, 1), axis=1)
    label = take_along_axis(last, expand_dims((2 * lengths - 1).maximum(0), 1), axis=1)
    return squeeze(_log_of_sum([behind, where(expand_dims(lengths > 0, 1), label, NEVER)]), 1)


class CTCLoss(Loss):
    """`ctc_loss` as a module."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor) -> Tensor:
        return ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity)
