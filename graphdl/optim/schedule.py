"""What learning rates that change with the step have in common."""

from __future__ import annotations

from functools import lru_cache

from ..compiler import Executable, compile
from ..ir import Tensor
from ..ops.source import placeholder


class Schedule:
    """A learning rate as a function of the step. Subclasses are frozen dataclasses that write `__call__`."""

    def __call__(self, step: Tensor) -> Tensor:
        """The rate at `step`, both float64 scalars."""
        raise NotImplementedError

    def at(self, step: int) -> float:
        """The rate at a step, as a number."""
        return float(_compiled(self)(float(step)))


@lru_cache(maxsize=64)
def _compiled(schedule: Schedule) -> Executable:
    step = placeholder("step", (), "float64")
    return compile(schedule(step), [step], backend="numpy")
