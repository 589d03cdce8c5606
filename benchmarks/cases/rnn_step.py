"""A whole training step of an RNN over sequences."""

from __future__ import annotations

from ..recurrent import case

CASE = case("RNN")
