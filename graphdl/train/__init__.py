"""Training loops: batches, validation, progress, early stopping, checkpoints, history."""

from __future__ import annotations

from .batches import Batches
from .callbacks import Bar, Callback, EarlyStop, Lines
from .history import History
from .layers import LayerReport, Layers
from .page import ReportPage
from .range_test import RangeTest
from .trainer import Trainer

__all__ = ["Bar", "Batches", "Callback", "EarlyStop", "History", "LayerReport", "Layers", "Lines", "RangeTest", "ReportPage", "Trainer"]
