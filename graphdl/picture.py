"""Figures of matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

from typing import Any

from .errors import GraphdlError


def figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of so many inches. Raises GraphdlError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise GraphdlError("plotting needs matplotlib, which is not installed: pip install graphdl[plot]") from None
    return Figure(figsize=(width, height), layout="constrained")
