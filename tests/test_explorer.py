"""The explorer in a real browser. Collected with `--chromium PATH` only, and run by `make browser`: no package index has the browser."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.inspect.html import write_page

CLICK = """(what) => {
  const found = document.querySelector(what), begun = performance.now();
  found.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  document.body.getBoundingClientRect();
  return performance.now() - begun;
}"""


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    api = importlib.import_module("playwright.sync_api")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=request.config.getoption("--chromium"), args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """An open page, and what its console said."""

    def __init__(self, browser: Any, path: Path, place: str = "") -> None:
        self.said: list[str] = []
        self.page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
        self.page.on("console", lambda message: self.said.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.said.append(request.url) if not request.url.startswith("file:") else None)
        self.page.goto(f"file://{path}{place}")
        self.page.wait_for_function("document.documentElement.dataset.ready")

    @property
    def heading(self) -> str:
        return str(self.page.locator("aside h2").inner_text())

    def count(self, selector: str) -> int:
        return int(self.page.locator(selector).count())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, y = gd.placeholder("x", ("N", 6)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    loss = nn.functional.cross_entropy(net(x), y)
    program = gd.compile([loss, *gd.grad(loss, net.parameters())], inputs=[x, y])
    path = tmp_path_factory.mktemp("page") / "small.html"
    profile = program.profile(np.ones((8, 6), "f"), np.zeros(8, "i8"), repeat=2)
    write_page(program, path, "<b>small & neat", profile)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training step of a GPT with 12 layers."""
    model = nn.models.gpt(256, 128, 64, 12, 4)
    ids, following = gd.placeholder("ids", ("N", "L"), "int64"), gd.placeholder("following", ("N", "L"), "int64")
    loss = nn.functional.cross_entropy(model(ids).reshape(-1, 256), following.reshape(-1))
    step = gd.compile(loss, [ids, following], updates=optim.Adam(lr=1e-3).updates(loss, model.parameters()))
    path = tmp_path_factory.mktemp("page") / "large.html"
    write_page(step, path)
    return path


def test_forward_and_gradient_stand_beside_each_other(browser: Any, small: Path) -> None:
    visit = Visit(browser, small)
    assert visit.page.title() == "<b>small & neat"
    assert visit.page.locator("text.side").all_text_contents() == ["forward", "gradient"]
    right = visit.page.evaluate("""() => {
      const at = (kind) => [...document.querySelectorAll(".node" + kind)].map((one) => one.getBoundingClientRect());
      return Math.max(...at(".forward").map((box) => box.right)) < Math.min(...at(".derived").map((box) => box.left));
    }""")
    assert right
    assert visit.said == []


def test_from_a_gradient_to_forward_node_line_kernel_and_code(browser: Any, small: Path) -> None:
    visit = Visit(browser, small)
    visit.page.fill("#search", "relu")
    visit.page.locator(".node.derived.found").first.dispatch_event("click")
    panel = visit.page.locator("aside")
    text = panel.inner_text()
    for part in ("rule", "formula", "forward node", "net(x)", "kernel", "of the limit"):
        assert part in text
    name = visit.heading.split()[0]
    panel.locator("dt", has_text="forward node").locator("xpath=following-sibling::dd[1]").locator("button").first.click()
    assert visit.heading.endswith("relu")
    assert panel.get_by_role("button", name=name).count() >= 1  # and back again
    visit.page.locator("aside [data-kernel]").first.click()
    visit.page.wait_for_selector("aside details")
    assert visit.heading.startswith("kernel ")
    code = visit.page.locator("aside pre")
    assert "define" in (code.nth(0).text_content() or "")
    assert "ret" in (code.nth(1).text_content() or "")
    assert visit.said == []


def test_folding_views_search_keys_and_theme(browser: Any, small: Path) -> None:
    visit = Visit(browser, small)
    page = visit.page
    whole = visit.count(".node")
    page.click("#fold")
    assert visit.count(".node.folded") > 2
    assert visit.count(".node") < whole
    page.locator(".node.folded").first.dispatch_event("click")
    assert visit.count(".node") > 3
    page.keyboard.press("u")
    assert visit.count(".node") == whole
    page.keyboard.press("/")
    page.keyboard.type("relu")
    assert page.locator("#count").inner_text().endswith(" found")
    assert visit.count(".node.found") >= 2
    page.keyboard.press("Enter")
    assert "relu" in visit.heading
    page.keyboard.press("Escape")
    before = visit.heading
    page.keyboard.press("ArrowUp")
    assert visit.heading != before
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.classList.contains('dark')")
    for view in range(page.locator("nav button").count()):
        page.locator("nav button").nth(view).click()
        assert visit.count(".node:visible") + visit.count("#table tr:visible") > 0
    assert visit.said == []


def test_a_link_leads_to_a_node_and_to_a_kernel(browser: Any, small: Path) -> None:
    visit = Visit(browser, small)
    visit.page.locator(".node.derived").nth(3).dispatch_event("click")
    place = visit.page.evaluate("location.hash")
    assert Visit(browser, small, place).heading == visit.heading
    again = Visit(browser, small, "#kernel/1")
    again.page.wait_for_selector("aside details")
    assert again.heading.startswith("kernel 1:")
    assert again.count("#table tr.chosen") == 1


def test_a_large_training_step_is_quick(browser: Any, large: Path) -> None:
    assert large.stat().st_size < 5_000_000
    visit = Visit(browser, large)
    assert float(visit.page.evaluate("document.documentElement.dataset.ready")) < 2000
    times = [float(visit.page.evaluate(CLICK, ".node.folded")) for _ in range(8)]
    times.append(float(visit.page.evaluate(CLICK, ".node:not(.folded)")))
    assert sorted(times)[len(times) // 2] < 100
    assert max(times) < 200
    assert visit.said == []


def test_fifty_thousand_nodes(browser: Any, tmp_path: Path) -> None:
    x = gd.placeholder("x", ("N", 2))
    w = gd.parameter(np.ones((2, 2), "f"), "W")
    h = x
    for _ in range(5000):
        h = gd.tanh(h @ w + 0.1)
    graph = gd.Graph([h.sum(), gd.grad(h.sum(), w)])
    assert len(graph.nodes) > 40_000
    write_page(graph, tmp_path / "page.html", code=False)
    visit = Visit(browser, tmp_path / "page.html")
    visit.page.evaluate(CLICK, ".node.folded")
    assert visit.count(".node") > 10
    visit.page.fill("#search", "matmul")
    assert not visit.page.locator("#count").inner_text().startswith("0 ")
    assert visit.said == []
