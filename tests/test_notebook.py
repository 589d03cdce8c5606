"""What notebooks show: graphs, tensors, explanations, profiles, histories; and the example notebook, run as it stands."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import graphdl as gd

NOTEBOOK = Path(__file__).parents[1] / "docs" / "gradients.ipynb"


def declared() -> tuple[gd.Tensor, gd.Tensor]:
    x = gd.placeholder("<x>&", ("N", 4))
    w = gd.parameter(np.ones((4, 2), "f"), "W")
    return x, gd.tanh(x @ w).sum()


def test_graphs_are_drawn() -> None:
    _, loss = declared()
    graph = gd.Graph([loss, *gd.grad(loss, list(gd.Graph(loss).parameters))])
    text = graph._repr_svg_()
    root = ElementTree.fromstring(text)
    assert len(root.findall("{http://www.w3.org/2000/svg}g")) == len(graph.nodes)
    assert "<x>" not in text


def test_large_graphs_point_to_the_page() -> None:
    x, _ = declared()
    for _ in range(300):
        x = x + 1
    assert "to_html" in gd.Graph(x)._repr_svg_()


def test_tensors_tell_type_and_line() -> None:
    x, loss = declared()
    assert Path(__file__).name in loss._repr_html_()
    assert "&lt;x&gt;" in x._repr_html_()


def test_profiles_draw_their_roofline() -> None:
    x, loss = declared()
    profile = gd.compile(loss, inputs=[x]).profile(np.ones((3, 4), "f"), repeat=1)
    assert "<svg" in (profile._repr_svg_() or "")
    assert "<table" in profile._repr_html_()


def test_without_matplotlib_there_are_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    history = gd.History()
    history.add({"loss": 1.0})
    assert history._repr_svg_() is None
    assert "<table" in history._repr_html_()


def test_the_example_notebook_runs_and_shows_what_it_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    scope: dict[str, object] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), "notebook", "exec"), scope)  # noqa: S102
        assert cell["outputs"] or cell["source"][-1].strip().endswith(("import graphdl as gd", ")"))
    assert any("text/html" in output.get("data", {}) for cell in cells for output in cell["outputs"])
