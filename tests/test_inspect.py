"""The explorer page and the commands that look into graphs."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
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


def data_of(text: str, part: str = "graph") -> dict[str, Any]:
    match = re.search(rf'<script type="application/octet-stream" id="{part}">(.*?)</script>', text, re.DOTALL)
    assert match is not None
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(match[1])))
    return found


NODE = ["name", "label", "kind", "type", "attributes", "told", "formula", "sources", "modules", "rules", "passes", "origins", "operands", "kernels", "parts"]


def nodes_of(data: dict[str, Any], view: int = 0) -> list[dict[str, Any]]:
    """The nodes of a view, with their fields' names, as the page's script has them."""
    return [dict(zip(NODE, data["nodes"][k], strict=True)) for k in data["views"][view]["nodes"]]


def test_page_holds_every_node_and_needs_no_network(model: Path, tmp_path: Path) -> None:
    graph = load_target(f"{model}:grads")
    assert isinstance(graph, gd.Graph)
    graph.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    data = data_of(text)
    nodes = nodes_of(data)
    assert len(nodes) == len(graph.nodes)
    assert {node["kind"] for node in nodes} == {0, 1, 2}
    assert any(node["origins"] and node["formula"] and node["rules"] for node in nodes)
    assert any("cross_entropy(net(x), y)" in source["text"] for source in data["sources"])
    assert any(node["told"].startswith("dL/dW₀ = ") for node in nodes)
    assert not re.search(r"""(src|href)\s*=|@import|url\(\s*["']?(http|//)""", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))


def test_page_follows_nodes_through_all_passes_into_kernels(model: Path) -> None:
    program = load_target(f"{model}:program")
    assert isinstance(program, gd.Executable)
    text = page(program)
    data, code = data_of(text), data_of(text, "code")
    assert [view["name"] for view in data["views"]] == ["declared", *program.record.graphs]
    for view, graph in zip(data["views"][1:], program.record.graphs.values(), strict=True):
        assert len(view["nodes"]) == len(graph.nodes)
    assert all(node["kernels"] for node in nodes_of(data) if node["kind"] != 2)
    assert [kernel[0] for kernel in data["kernels"]] == [kernel.name for kernel in program.kernels]
    for name, function, facts, members, sources in data["kernels"]:
        assert members, name
        assert sources, name
        assert facts["bytes"], name
        ir, assembly = code[function]
        assert f"@{function}(" in ir
        assert assembly.startswith(f"{function}:")


def test_page_has_measured_times(model: Path) -> None:
    program = load_target(f"{model}:program")
    assert isinstance(program, gd.Executable)
    profile = program.profile(np.ones((8, 6), "f"), np.zeros(8, "i8"), repeat=1)
    data = data_of(page(program, profile=profile, code=False))
    assert sum("time" in kernel[2] and "of the limit" in kernel[2] for kernel in data["kernels"]) == sum(row.tasks > 0 for row in profile.rows) > 3
    assert {"kernels", "whole call"} <= set(data["total"])


def test_groups_are_modules_and_crowds_are_divided() -> None:
    x = gd.placeholder("x", ("N", 2))
    for _ in range(3000):
        x = gd.tanh(x)
    data = data_of(page(gd.Graph(x), code=False))
    names = [name for name, _ in data["groups"]]
    assert any(re.fullmatch(r"1 to \d+", name) for name in names)
    sizes = Counter(data["views"][0]["groups"])
    assert max(sizes.values()) <= 240


def test_markup_in_names_is_escaped() -> None:
    x = gd.placeholder("</script><script>alert(1)</script>", (3,))
    text = page(gd.Graph(x * 2), title="<b>&{data}")
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert nodes_of(data_of(text))[0]["label"] == "</script><script>alert(1)</script>"


def test_what_cannot_be_compiled_is_drawn_all_the_same() -> None:
    x = gd.placeholder("x", (3,))
    graph = gd.Graph(x * gd.placeholder("y", (3,)), inputs=[x])
    data = data_of(page(graph))
    assert "y" in data["remark"]
    assert len(nodes_of(data)) == 3


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        gd.Graph(gd.placeholder("x", (3,)) * 2).to_html(tmp_path / "missing" / "page.html")


def test_commands_print(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"{model}:loss"]) == 0
    assert "cross_entropy" in capsys.readouterr().out
    assert main(["inspect", f"{model}:loss", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"]
    assert main(["inspect", f"{model}:program", "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").exists()
    assert main(["inspect", f"{model}:loss", "--size", "N=4"]) == 0
    assert "of limit" in capsys.readouterr().out
    assert main(["explain", f"{model}:net"]) == 0
    assert "relu(x W₀ᵀ + b₀) W₂ᵀ + b₂" in capsys.readouterr().out
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


def test_lint_command_tells_errors_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, told in (("x = 1 / 0\n", "ZeroDivisionError"), ("raise SystemExit(3)\n", "SystemExit: 3")):
        path = tmp_path / "broken.py"
        path.write_text(text, encoding="utf-8")
        assert main(["lint", f"{path}:x"]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert "importlib" not in error
        assert main(["inspect", f"{path}:x"]) == 1


def test_lint_command_wraps_remedies(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["lint", f"{model}:bad"]) == 1
    remedies = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert remedies
    assert max(map(len, remedies)) <= 80


def test_lint_command_has_exit_codes(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", f"{model}:grads"]) == 0
    assert main(["lint", f"{model}:bad"]) == 1
    assert "model.py:10" in capsys.readouterr().out
    assert main(["lint", f"{model}:bad", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["line"] == 10
    assert main(["lint", f"{model}:nothing"]) == 2


@pytest.mark.parametrize(("text", "said"), [("model", "FILE.py:name"), ("missing.py:x", "no file"), ("{model}:absent", "loss"), ("{model}:nn", "module")])
def test_bad_targets_are_told(model: Path, text: str, said: str) -> None:
    with pytest.raises(gd.errors.GraphdlError, match=said):
        load_target(text.format(model=model))
