"""Golden texts: files under tests/golden, rewritten with `pytest --update-golden`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
Golden = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts anew")
    parser.addoption("--chromium", help="a Chromium to test pages in; without it those tests are not collected")
    parser.addoption("--fuzz-examples", type=int, default=2000, help="how many random graphs the differential fuzzer tries")
    parser.addoption("--fuzz-files", type=int, default=500, help="how many damaged files of each format are read")
    parser.addoption("--fuzz-depth", type=int, default=12, help="how many ops one of them may have")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """No browser can be had from a package index: `make browser` names one."""
    return True if collection_path.name in ("test_explorer.py", "test_web.py") and not config.getoption("--chromium") else None


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """A function that compares a text with the golden file of that name."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        assert path.exists(), f"{path.name} is missing: run pytest --update-golden"
        assert text.rstrip("\n") == path.read_text(encoding="utf-8").rstrip("\n")

    return compare
