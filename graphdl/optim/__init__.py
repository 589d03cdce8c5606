"""Optimisers whose steps are graph, learning rates that follow the step, and gradient clipping."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .adam import Adam, Adamax, AdamW, Lion
from .clipping import clip_by_norm, clip_by_value, global_norm
from .optimizer import Optimizer
from .rmsprop import Adadelta, Adagrad, RMSprop
from .schedule import Schedule
from .sgd import SGD

if TYPE_CHECKING:
    from . import schedules
    from .schedules import Chain, Constant, CosineAnnealingLR, ExponentialLR, LinearWarmup, MultiStepLR, OneCycleLR, StepLR

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Chain",
    "Constant",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LinearWarmup",
    "Lion",
    "MultiStepLR",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "StepLR",
    "clip_by_norm",
    "clip_by_value",
    "global_norm",
    "schedules",
]

# Imported when they are first asked for: making so many classes takes longer than making an optimiser.
_SCHEDULES = ("Chain", "Constant", "CosineAnnealingLR", "ExponentialLR", "LinearWarmup", "MultiStepLR", "OneCycleLR", "StepLR")


def __getattr__(name: str) -> Any:
    if name != "schedules" and name not in _SCHEDULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(".schedules", __name__)
    return module if name == "schedules" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_SCHEDULES, "schedules"})
