"""The page that recognises digits, in a real browser: collected with `--chromium PATH` only, and run by `make browser`."""

from __future__ import annotations

import importlib
import importlib.util
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
Stroke = Sequence[tuple[float, float]]


def arc(x: float, y: float, width: float, height: float, begin: float, end: float) -> Stroke:
    """Points of an ellipse; angles are turns, clockwise from the right."""
    angles = [2 * math.pi * (begin + (end - begin) * k / 24) for k in range(25)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


# As hands write them, in a square from 0 to 1.
DIGITS: dict[int, list[Stroke]] = {
    0: [arc(0.5, 0.5, 0.25, 0.38, -0.25, 0.75)],
    1: [[(0.4, 0.27), (0.53, 0.12), (0.53, 0.88)]],
    2: [[*arc(0.5, 0.3, 0.2, 0.18, -0.5, 0.1), (0.3, 0.88), (0.72, 0.88)]],
    3: [[*arc(0.47, 0.3, 0.2, 0.17, -0.45, 0.22), *arc(0.47, 0.68, 0.23, 0.2, -0.22, 0.45)]],
    4: [[(0.42, 0.12), (0.27, 0.58), (0.75, 0.58)], [(0.6, 0.35), (0.55, 0.9)]],
    5: [[(0.68, 0.13), (0.36, 0.13), (0.33, 0.45), *arc(0.47, 0.65, 0.22, 0.22, -0.25, 0.4)]],
    6: [[(0.6, 0.1), (0.38, 0.4), *arc(0.5, 0.68, 0.19, 0.2, -0.5, 0.5)]],
    7: [[(0.27, 0.14), (0.72, 0.14), (0.45, 0.88)], [(0.35, 0.5), (0.68, 0.5)]],
    8: [[*arc(0.5, 0.3, 0.17, 0.18, 0.25, -0.75), *arc(0.5, 0.68, 0.2, 0.2, -0.25, 0.75)]],
    9: [[*arc(0.5, 0.32, 0.19, 0.2, 0.0, 1.0), (0.69, 0.32), (0.66, 0.6), (0.55, 0.9)]],
}


@pytest.fixture(scope="module")
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not shutil.which("wasm-ld"):
        pytest.skip("there is no wasm-ld")
    folder = tmp_path_factory.mktemp("web")
    assert built(folder) > 0.95
    api = importlib.import_module("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=request.config.getoption("--chromium"), args=["--no-sandbox"])
        opened, said = browser.new_page(), []
        opened.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith("file:") else None)
        opened.goto(f"file://{folder}/index.html")
        opened.wait_for_function("document.documentElement.dataset.ready")
        yield opened
        browser.close()
    assert said == []


def built(folder: Path) -> float:
    spec = importlib.util.spec_from_file_location("build_web", ROOT / "examples" / "web" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return float(module.build(folder, 30))


def draw(page: Any, strokes: Sequence[Stroke], scale: float = 1.0) -> str:
    """Draw with the mouse on an empty sheet, and read the answer."""
    page.click("#clear")
    assert page.inner_text("#answer") == ""
    box = page.locator("#paper").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + x * scale * box["width"], box["y"] + y * scale * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=2)
        page.mouse.up()
    return str(page.inner_text("#answer"))


@pytest.mark.parametrize("digit", DIGITS)
def test_a_drawn_digit_is_recognised(page: Any, digit: int) -> None:
    assert draw(page, DIGITS[digit]) == str(digit)
    assert draw(page, DIGITS[digit], scale=0.5) == str(digit), "drawn small"


def test_probabilities_are_shown(page: Any) -> None:
    draw(page, DIGITS[0])
    shown = [page.locator("meter").nth(k).evaluate("meter => meter.value") for k in range(10)]
    assert sum(shown) == pytest.approx(1, abs=1e-5)
    assert max(shown) == shown[0]
    page.click("#clear")
    assert page.locator("meter").nth(0).evaluate("meter => meter.value") == 0
