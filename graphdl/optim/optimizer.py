"""The base of optimisers: from gradients to the new values of parameters and of the optimiser's own state, as graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..calculus import grad
from ..collection import paused_collection
from ..errors import GraphdlError
from ..ir import Tensor
from ..memory import zeros_together
from ..nn.buffer import assignments
from ..nn.state import load_arrays, parameter_names
from ..ops.source import full, parameter, parameter_over
from ..types import numpy_dtype
from .clipping import clip_by_norm, clip_by_value
from .schedule import Schedule

Array = np.ndarray[Any, Any]
Slots = Mapping[str, Tensor]


class Optimizer:
    """What all optimisers share. A subclass names its state and gives the rule for one parameter.

    `slots` maps the names of the tensors kept for every parameter to the number they start from. The learning rate and
    everything else that is one number is computed once for a step, in float64, as PyTorch does on the host.
    """

    slots: ClassVar[Mapping[str, float]] = {}

    def __init__(self, lr: float | Schedule, clip_norm: float | None = None, clip_value: float | None = None) -> None:
        if not isinstance(lr, Schedule) and lr < 0:
            raise ValueError(f"{type(self).__name__}: the learning rate is {lr}, but must not be negative")
        self.schedule = lr if isinstance(lr, Schedule) else None
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self._rate = None if isinstance(lr, Schedule) else parameter(np.float64(lr), "lr")
        self._step = parameter(np.int64(0), "step")
        self._state: dict[Tensor, dict[str, Tensor]] = {}

    def used_slots(self) -> Mapping[str, float]:
        """The slots that these options need."""
        return self.slots

    def scalars(self, lr: Tensor, step: Tensor) -> dict[str, Tensor]:
        """The numbers of one step, float64 and without axes, from the rate and the step's number, 1 at first."""
        return {"lr": lr}

    def rule(self, parameter: Tensor, gradient: Tensor, state: Slots, scalars: Slots) -> tuple[Tensor, dict[str, Tensor]]:
        """The new value of one parameter and of its slots; `scalars` have its dtype here."""
        raise NotImplementedError

    def updates(
        self, loss: Tensor | None = None, parameters: Iterable[Tensor] | None = None, *, gradients: Sequence[Tensor] | None = None
    ) -> dict[Tensor, Tensor]:
        """New values for `parameters`, for the optimiser's state and for buffers that the loss assigns: what `gd.compile` takes.

        Gradients of `loss` are differentiated here unless given. State is made at the first call for a parameter and kept,
        so that programs compiled from the same optimiser share it.
        Raises GraphdlError without parameters, or without loss and gradients.
        """
        targets = list(parameters or ())
        if not targets:
            raise GraphdlError(f"{type(self).__name__}.updates: no parameters were given")
        with paused_collection():
            return self._changes(loss, targets, self._gradients(loss, targets, gradients))

    def _changes(self, loss: Tensor | None, targets: list[Tensor], with_respect: Sequence[Tensor]) -> dict[Tensor, Tensor]:
        scalars = self.scalars(self._current_rate(), (self._step + 1).astype("float64"))
        cast = {dtype: {name: scalar.astype(dtype) for name, scalar in scalars.items()} for dtype in {target.dtype: None for target in targets}}
        changes: dict[Tensor, Tensor] = {} if loss is None else assignments([loss])
        self._make_state(targets)
        for target, gradient in zip(targets, with_respect, strict=True):
            state = self._state[target]
            changes[target], slots = self.rule(target, gradient, state, cast[target.dtype])
            changes |= {state[name]: value for name, value in slots.items()}
        changes[self._step] = self._step + 1
        return changes

    def _gradients(self, loss: Tensor | None, targets: list[Tensor], given: Sequence[Tensor] | None) -> Sequence[Tensor]:
        if given is None and loss is None:
            raise GraphdlError(f"{type(self).__name__}.updates: give the loss or its gradients")
        found = given if given is not None or loss is None else grad(loss, targets)
        if not isinstance(found, Sequence) or len(found) != len(targets):
            raise GraphdlError(f"{type(self).__name__}.updates: {len(targets)} parameters need as many gradients")
        if self.clip_value is not None:
            found = clip_by_value(found, self.clip_value)
        return found if self.clip_norm is None else clip_by_norm(found, self.clip_norm)

    def _make_state(self, targets: Sequence[Tensor]) -> None:
        """Slots for the parameters that have none yet."""
        slots = self.used_slots()
        new = [target for target in dict.fromkeys(targets) if target not in self._state]
        parts = [number / (len(slots) + 1) for number in range(1, len(slots) + 1)]  # apart from each other and from the parameter
        arrays = iter(zeros_together([(target.node.op.state.array.shape, numpy_dtype(target.dtype), part) for target in new for part in parts]))
        for target in new:
            self._state[target] = {name: parameter_over(_filled(next(arrays), value), name) for name, value in slots.items()}

    def _current_rate(self) -> Tensor:
        if self.schedule is not None:
            return self.schedule(self._step.astype("float64"))
        assert self._rate is not None
        return self._rate

    def rate(self) -> Tensor:
        """The learning rate of the next step, as graph: float64 without axes."""
        return self._current_rate()

    @property
    def lr(self) -> float:
        """The learning rate of the next step; setting it changes compiled programs too. Raises GraphdlError to set a schedule's."""
        return self.schedule.at(self.steps) if self._rate is None and self.schedule is not None else float(self._rate.value)  # type: ignore[union-attr]

    @lr.setter
    def lr(self, value: float) -> None:
        if self._rate is None:
            raise GraphdlError(f"the learning rate follows {self.schedule}: give the optimiser a number to set it by hand")
        self._rate.value = np.float64(value)

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return int(self._step.value)

    def state(self) -> dict[str, Tensor]:
        """All state under names such as `0.weight.exp_avg`, `step` and, unless it follows a schedule, `lr`."""
        names = parameter_names(self._state)
        named = {f"{names[target]}.{name}": tensor for target, slots in self._state.items() for name, tensor in slots.items()}
        return {"step": self._step, **({} if self._rate is None else {"lr": self._rate}), **named}

    def state_dict(self) -> dict[str, Array]:
        """All state by name: the arrays themselves, not copies."""
        return {name: tensor.value for name, tensor in self.state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays into the state by name; call it after `updates`, which makes the state. Raises StateError as `Module` does."""
        load_arrays(self.state(), state, strict=True, owner=type(self).__name__)

    def __repr__(self) -> str:
        rate = repr(self.schedule) if self.schedule is not None else f"{self.lr:g}"
        return f"{type(self).__name__}(lr={rate})"


def decayed(gradient: Tensor, parameter: Tensor, weight_decay: float) -> Tensor:
    """The gradient of the loss plus half the squared norm of the parameter times `weight_decay`."""
    return gradient + weight_decay * parameter if weight_decay else gradient


def number(value: float) -> Tensor:
    """A float64 scalar."""
    return full((), value, "float64")


def _filled(zeros: Array, value: float) -> Array:
    """The array with one value everywhere. Zeros are memory that is not touched before it is used."""
    if value:
        zeros.fill(value)
    return zeros
