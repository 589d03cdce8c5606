"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..ir import Tensor
from ..ops.select import where
from .optimizer import Optimizer, Slots, decayed, number
from .schedule import Schedule


class SGD(Optimizer):
    """p - lr g; with momentum, g is replaced by the running b = momentum b + (1 - dampening) g. Sutskever et al. 2013.

    With `nesterov` by g + momentum b. The first b is g itself, as in PyTorch.
    """

    slots: ClassVar[Mapping[str, float]] = {"momentum_buffer": 0.0}

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(lr, clip_norm, clip_value)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: Nesterov's form needs a momentum and no dampening")
        self.momentum = momentum
        self.dampening = dampening
        self.weight_decay = weight_decay
        self.nesterov = nesterov

    def used_slots(self) -> Mapping[str, float]:
        return self.slots if self.momentum else {}

    def scalars(self, lr: Tensor, step: Tensor) -> dict[str, Tensor]:
        if not self.dampening:
            return {"lr": lr}
        return {"lr": lr, "share": where(step == 1.0, number(1.0), number(1 - self.dampening))}

    def rule(self, parameter: Tensor, gradient: Tensor, state: Slots, scalars: Slots) -> tuple[Tensor, dict[str, Tensor]]:
        slope = decayed(gradient, parameter, self.weight_decay)
        if not self.momentum:
            return parameter - scalars["lr"] * slope, {}
        new = scalars["share"] * slope if self.dampening else slope
        buffer = self.momentum * state["momentum_buffer"] + new
        direction = slope + self.momentum * buffer if self.nesterov else buffer
        return parameter - scalars["lr"] * direction, {"momentum_buffer": buffer}
