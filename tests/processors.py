"""Code for other processors of the family of this one, run here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from graphdl.backends.native import target


@contextmanager
def running_as(family: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Programs compiled inside are for that row of the table of targets; skips the test where this processor does not run it."""
    if target.host().vector_bytes < target.named(family).vector_bytes or not target.host().triple.startswith("x86_64"):
        pytest.skip(f"this processor does not run {family}")
    monkeypatch.setenv("GRAPHDL_TARGET", family)
    target.host.cache_clear()
    try:
        yield
    finally:
        target.host.cache_clear()
