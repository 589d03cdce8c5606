"""A whole training step of an LSTM over sequences."""

from __future__ import annotations

from ..recurrent import case

CASE = case("LSTM")
