"""The explorer page and the commands that look into graphs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import graphdl as gd
from graphdl.cli import main
from graphdl.inspect.html import page
from graphdl.inspect.target import load_target

MODEL = """
import graphdl as gd
from graphdl import nn

x = gd.placeholder("x", ("N", 6))
y = gd.placeholder("y", ("N",), "int64")
net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
loss = nn.functional.cross_entropy(net(x), y)
grads = gd.grad(loss, net.parameters())
bad = gd.log(net(x))


def program():
    return gd.compile([loss, *grads], inputs=[x, y])
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def data_of(text: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="graph">(.*?)</script>', text, re.DOTALL)
    assert match is not None
    found: dict[str, Any] = json.loads(match[1])
    return found


def test_page_holds_every_node_and_needs_no_network(model: Path, tmp_path: Path) -> None:
    graph = load_target(f"{model}:grads")
    assert isinstance(graph, gd.Graph)
    graph.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    data = data_of(text)
    assert len(data["nodes"]) == len(graph.nodes)
    assert {node["kind"] for node in data["nodes"]} == {"state", "forward", "derived"}
    assert any(node["origins"] and node["formula"] and node["rules"] for node in data["nodes"])
    assert any(node["kernels"] for node in data["nodes"])
    assert any("cross_entropy(net(x), y)" in source["text"] for node in data["nodes"] for source in node["sources"])
    assert not re.search(r"""(src|href)\s*=|@import|url\(\s*["']?(http|//)""", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))


def test_markup_in_names_is_escaped() -> None:
    x = gd.placeholder("</script><script>alert(1)</script>", (3,))
    text = page(gd.Graph(x * 2), title="<b>&")
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert data_of(text)["nodes"][0]["label"] == "</script><script>alert(1)</script>"


def test_commands_print(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"{model}:loss"]) == 0
    assert "cross_entropy" in capsys.readouterr().out
    assert main(["inspect", f"{model}:loss", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"]
    assert main(["inspect", f"{model}:program", "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").exists()
    assert main(["explain", f"{model}:grads"]) == 0
    assert "model.py" in capsys.readouterr().out
    assert main(["explain", f"{model}:grads", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"][0]["formula"]


def test_profile_command(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", f"{model}:loss", "--size", "N=8", "--repeat", "1", "--json", "--trace", str(tmp_path / "trace.json")]) == 0
    assert json.loads(capsys.readouterr().out)["kernels"]
    assert (tmp_path / "trace.json").exists()
    assert main(["profile", f"{model}:loss"]) == 1
    assert "--size N=64" in capsys.readouterr().err


def test_lint_command_has_exit_codes(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", f"{model}:grads"]) == 0
    assert main(["lint", f"{model}:bad"]) == 1
    assert "model.py:10" in capsys.readouterr().out
    assert main(["lint", f"{model}:bad", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["line"] == 10
    assert main(["lint", f"{model}:nothing"]) == 2


@pytest.mark.parametrize(("text", "said"), [("model", "FILE.py:name"), ("missing.py:x", "no file"), ("{model}:absent", "loss"), ("{model}:net", "Sequential")])
def test_bad_targets_are_told(model: Path, text: str, said: str) -> None:
    with pytest.raises(gd.errors.GraphdlError, match=said):
        load_target(text.format(model=model))
