"""Adam and its relatives: steps scaled by running moments of the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..ir import Tensor
from ..ir.node import FUNCTIONS
from .optimizer import Optimizer, Slots, decayed, number
from .schedule import Schedule


class Adam(Optimizer):
    """p - lr m̂ / (√v̂ + eps) with running means m of g and v of g², corrected for their start from zero. Kingma, Ba 2014.

    `weight_decay` is added to the gradient; `amsgrad` takes the largest v so far (Reddi, Kale, Kumar 2018).
    """

    slots: ClassVar[Mapping[str, float]] = {"exp_avg": 0.0, "exp_avg_sq": 0.0}
    default_decay: ClassVar[float] = 0.0

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | None = None,
        amsgrad: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, clip_norm, clip_value)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"{type(self).__name__}: betas lie in [0, 1), not {betas}")
        self.betas = betas
        self.eps = eps
        self.weight_decay = self.default_decay if weight_decay is None else weight_decay
        self.amsgrad = amsgrad

    def used_slots(self) -> Mapping[str, float]:
        return {**self.slots, "max_exp_avg_sq": 0.0} if self.amsgrad else self.slots

    def scalars(self, lr: Tensor, step: Tensor) -> dict[str, Tensor]:
        first, second = (1 - FUNCTIONS["power"](number(beta), step) for beta in self.betas)
        return {"lr": lr, "step_size": lr / first, "root_correction": second.sqrt()}

    def decay(self, parameter: Tensor, gradient: Tensor, scalars: Slots) -> tuple[Tensor, Tensor]:
        """The parameter and the gradient after weight decay."""
        return parameter, decayed(gradient, parameter, self.weight_decay)

    def rule(self, parameter: Tensor, gradient: Tensor, state: Slots, scalars: Slots) -> tuple[Tensor, dict[str, Tensor]]:
        parameter, gradient = self.decay(parameter, gradient, scalars)
        beta1, beta2 = self.betas
        mean = state["exp_avg"] + (1 - beta1) * (gradient - state["exp_avg"])
        square = beta2 * state["exp_avg_sq"] + (1 - beta2) * (gradient * gradient)
        slots = {"exp_avg": mean, "exp_avg_sq": square}
        if self.amsgrad:
            slots["max_exp_avg_sq"] = square = FUNCTIONS["maximum"](state["max_exp_avg_sq"], square)
        return parameter - scalars["step_size"] * mean / (square.sqrt() / scalars["root_correction"] + self.eps), slots


class AdamW(Adam):
    """Adam with weight decay taken from the parameter itself: p (1 - lr weight_decay) first. Loshchilov, Hutter 2017."""

    default_decay: ClassVar[float] = 1e-2

    def decay(self, parameter: Tensor, gradient: Tensor, scalars: Slots) -> tuple[Tensor, Tensor]:
        if not self.weight_decay:
            return parameter, gradient
        return parameter * (1 - scalars["lr"] * self.weight_decay), gradient


class Adamax(Adam):
    """Adam with the largest gradient, decaying, in place of the second moment. Kingma, Ba 2014, section 7.1."""

    slots: ClassVar[Mapping[str, float]] = {"exp_avg": 0.0, "exp_inf": 0.0}

    def __init__(
        self,
        lr: float | Schedule = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, clip_norm=clip_norm, clip_value=clip_value)

    def rule(self, parameter: Tensor, gradient: Tensor, state: Slots, scalars: Slots) -> tuple[Tensor, dict[str, Tensor]]:
        gradient = decayed(gradient, parameter, self.weight_decay)
        beta1, beta2 = self.betas
        mean = state["exp_avg"] + (1 - beta1) * (gradient - state["exp_avg"])
        largest = FUNCTIONS["maximum"](beta2 * state["exp_inf"], abs(gradient) + self.eps)
        return parameter - scalars["step_size"] * mean / largest, {"exp_avg": mean, "exp_inf": largest}


class Lion(Optimizer):
    """p - lr sign(beta1 m + (1 - beta1) g), decayed as AdamW does. Chen et al., "Symbolic discovery of optimization algorithms", 2023."""

    slots: ClassVar[Mapping[str, float]] = {"exp_avg": 0.0}

    def __init__(
        self,
        lr: float | Schedule = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, clip_norm, clip_value)
        self.betas = betas
        self.weight_decay = weight_decay

    def rule(self, parameter: Tensor, gradient: Tensor, state: Slots, scalars: Slots) -> tuple[Tensor, dict[str, Tensor]]:
        beta1, beta2 = self.betas
        direction = (beta1 * state["exp_avg"] + (1 - beta1) * gradient).sign()
        mean = beta2 * state["exp_avg"] + (1 - beta2) * gradient
        return parameter - scalars["lr"] * decayed(direction, parameter, self.weight_decay), {"exp_avg": mean}
