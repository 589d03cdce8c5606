"""Learning rates that change with the step: functions of the step's number, built as graph, so a step needs no Python.

Steps count from 0 and are the optimiser's own, not epochs: multiply by the steps of an epoch where epochs are meant.
"""

from __future__ import annotations

import math

from ..ir import Tensor
from ..ir.node import FUNCTIONS
from ..ops.select import where
from ..ops.source import full
from ..record import record
from .schedule import Schedule


@record
class Constant(Schedule):
    """`lr` at every step."""

    lr: float

    def __call__(self, step: Tensor) -> Tensor:
        return full((), self.lr, "float64")


@record
class StepLR(Schedule):
    """`lr` times `gamma` for every `step_size` steps that have passed."""

    lr: float
    step_size: int
    gamma: float = 0.1

    def __call__(self, step: Tensor) -> Tensor:
        return self.lr * _power(self.gamma, FUNCTIONS["floor"](step / self.step_size))


@record
class MultiStepLR(Schedule):
    """`lr` times `gamma` for every milestone that has been reached."""

    lr: float
    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))

    def __call__(self, step: Tensor) -> Tensor:
        rate = full((), self.lr, "float64")
        for milestone in self.milestones:
            rate = where(step >= float(milestone), rate * self.gamma, rate)
        return rate


@record
class ExponentialLR(Schedule):
    """`lr` times `gamma` to the power of the step."""

    lr: float
    gamma: float

    def __call__(self, step: Tensor) -> Tensor:
        return self.lr * _power(self.gamma, step)


@record
class CosineAnnealingLR(Schedule):
    """From `lr` down to `eta_min` along half a cosine of `T_max` steps, and up again after. Loshchilov, Hutter 2016."""

    lr: float
    T_max: int
    eta_min: float = 0.0

    def __call__(self, step: Tensor) -> Tensor:
        result: Tensor = self.eta_min + (self.lr - self.eta_min) * 0.5 * (1 + (math.pi / self.T_max * step).cos())
        return result


@record
class LinearWarmup(Schedule):
    """From `start_factor` to the whole of another rate in `total_steps` steps, then that rate, counted from there."""

    after: Schedule | float
    total_steps: int
    start_factor: float = 0.0

    def __call__(self, step: Tensor) -> Tensor:
        rest = FUNCTIONS["maximum"](step - float(self.total_steps), 0.0)
        factor = FUNCTIONS["minimum"](self.start_factor + (1 - self.start_factor) / self.total_steps * step, 1.0)
        result: Tensor = _schedule(self.after)(rest) * factor
        return result


@record
class OneCycleLR(Schedule):
    """Up from `max_lr / div_factor` to `max_lr` in the first `pct_start` of the steps, then down, both along half a cosine.

    It ends at `max_lr / (div_factor * final_div_factor)`. Smith, Topin 2017.
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __call__(self, step: Tensor) -> Tensor:
        start = self.max_lr / self.div_factor
        peak = self.pct_start * self.total_steps - 1
        rise = _cosine_between(start, self.max_lr, step / peak)
        fall = _cosine_between(self.max_lr, start / self.final_div_factor, (step - peak) / (self.total_steps - 1 - peak))
        return where(step <= peak, rise, fall)


@record
class Chain(Schedule):
    """One schedule after another: the next begins, counting from 0, at each milestone."""

    schedules: tuple[Schedule | float, ...]
    milestones: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", tuple(self.schedules))
        object.__setattr__(self, "milestones", tuple(self.milestones))
        if len(self.milestones) != len(self.schedules) - 1:
            raise ValueError(f"Chain: {len(self.schedules)} schedules need one milestone fewer, not {len(self.milestones)}")

    def __call__(self, step: Tensor) -> Tensor:
        rate = _schedule(self.schedules[0])(step)
        for schedule, milestone in zip(self.schedules[1:], self.milestones, strict=True):
            rate = where(step >= float(milestone), _schedule(schedule)(step - float(milestone)), rate)
        return rate


def _schedule(rate: Schedule | float) -> Schedule:
    return rate if isinstance(rate, Schedule) else Constant(rate)


def _power(base: float, exponent: Tensor) -> Tensor:
    result: Tensor = FUNCTIONS["power"](full((), base, "float64"), exponent)
    return result


def _cosine_between(start: float, end: float, share: Tensor) -> Tensor:
    result: Tensor = end + (start - end) / 2 * (1 + (math.pi * share).cos())
    return result
