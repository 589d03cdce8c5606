"""A whole training step of an GRU over sequences."""

from __future__ import annotations

from ..recurrent import case

CASE = case("GRU")
