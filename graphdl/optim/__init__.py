"""Optimisers whose steps are graph, learning rates that follow the step, and gradient clipping."""

from __future__ import annotations

from .adam import Adam, Adamax, AdamW, Lion
from .clipping import clip_by_norm, clip_by_value, global_norm
from .optimizer import Optimizer
from .rmsprop import Adadelta, Adagrad, RMSprop
from .schedules import Chain, Constant, CosineAnnealingLR, ExponentialLR, LinearWarmup, MultiStepLR, OneCycleLR, Schedule, StepLR
from .sgd import SGD

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
]
