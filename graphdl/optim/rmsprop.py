"""Steps scaled by the root of mean or summed squares: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..ir import Tensor
from ..ir.node import FUNCTIONS
from .optimizer import Optimizer, Slots, decayed
from .schedule import Schedule


class RMSprop(Optimizer):
    """p - lr g / (√v + eps) with a running mean v of g², of its variance if `centered`. Tieleman, Hinton 2012; Graves 2013."""

    slots: ClassVar[Mapping[str, float]] = {"square_avg": 0.0}

    def __init__(
        self,
        lr: float | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, clip_norm, clip_value)
        self.alpha = alpha
        self.eps = eps
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.centered = centered

    def used_slots(self) -> Mapping[str, float]:
        optional = {"grad_avg": self.centered, "momentum_buffer": bool(self.momentum)}
        return {**self.slots, **{name: 0.0 for name, used in optional.items() if used}}

    def rule(self, parameter: Tensor, gradient: Tensor, state: Slots, scalars: Slots) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = decayed(gradient, parameter, self.weight_decay)
        square = self.alpha * state["square_avg"] + (1 - self.alpha) * (gradient * gradient)
        slots, spread = {"square_avg": square}, square
        if self.centered:
            slots["grad_avg"] = mean = state["grad_avg"] + (1 - self.alpha) * (gradient - state["grad_avg"])
            spread = FUNCTIONS["maximum"](square - mean * mean, 0)  # rounding may make it negative
        direction = gradient / (spread.sqrt() + self.eps)
        if self.momentum:
            slots["momentum_buffer"] = direction = self.momentum * state["momentum_buffer"] + direction
        return parameter - scalars["lr"] * direction, slots


class Adagrad(Optimizer):
    """p - lr g / (√s + eps) with the sum s of all g², and lr / (1 + (step - 1) lr_decay). Duchi, Hazan, Singer 2011."""

    slots: ClassVar[Mapping[str, float]] = {"sum": 0.0}

    def __init__(
        self,
        lr: float | Schedule = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, clip_norm, clip_value)
        self.lr_decay = lr_decay
        self.weight_decay = weight_decay
        self.initial_accumulator_value = initial_accumulator_value
        self.eps = eps

    def used_slots(self) -> Mapping[str, float]:
        return {"sum": self.initial_accumulator_value}

    def scalars(self, lr: Tensor, step: Tensor) -> dict[str, Tensor]:
        return {"lr": lr / (1 + (step - 1) * self.lr_decay)}

    def rule(self, parameter: Tensor, gradient: Tensor, state: Slots, scalars: Slots) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = decayed(gradient, parameter, self.weight_decay)
        total = state["sum"] + gradient * gradient
        return parameter - scalars["lr"] * (gradient / (total.sqrt() + self.eps)), {"sum": total}


class Adadelta(Optimizer):
    """p - lr g √(d + eps) / √(v + eps) with running means v of g² and d of the squared steps before lr. Zeiler 2012."""

    slots: ClassVar[Mapping[str, float]] = {"square_avg": 0.0, "acc_delta": 0.0}

    def __init__(
        self,
        lr: float | Schedule = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, clip_norm, clip_value)
        self.rho = rho
        self.eps = eps
        self.weight_decay = weight_decay

    def rule(self, parameter: Tensor, gradient: Tensor, state: Slots, scalars: Slots) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = decayed(gradient, parameter, self.weight_decay)
        square = self.rho * state["square_avg"] + (1 - self.rho) * (gradient * gradient)
        delta = (state["acc_delta"] + self.eps).sqrt() / (square + self.eps).sqrt() * gradient
        moved = self.rho * state["acc_delta"] + (1 - self.rho) * (delta * delta)
        return parameter - scalars["lr"] * delta, {"square_avg": square, "acc_delta": moved}
