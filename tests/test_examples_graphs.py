"""What holds of every graph and program of the examples: they lint clean, and no node and no kernel is without an origin."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphdl as gd
from graphdl import nn, optim

from .models import EXAMPLES, FLAGS, OTHERS, programs_of

KNOWN = {"backprop.py": ("saturation",)}  # the textbook's network squares the errors of sigmoids, and says so


def without_origin(program: gd.Executable) -> list[str]:
    """The nodes of all passes that know no line of the user's."""
    graphs = [program.source, *program.record.graphs.values()]
    inner = [one for graph in graphs for nested in graph.nested() for one in nested.nodes if not one.op.is_input]
    return [node.op.name for node in inner if not node.provenance.sources]


def check(program: gd.Executable, known: tuple[str, ...] = ()) -> None:
    assert [str(finding) for finding in gd.lint(program) if finding.rule not in known] == []
    assert without_origin(program) == []
    assert [kernel.name for kernel in program.kernels if not kernel.sources or not kernel.origins] == []


def test_every_example_is_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*FLAGS, *OTHERS}


@pytest.mark.parametrize("example", FLAGS)
def test_example(example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs = programs_of(example, monkeypatch, tmp_path)
    assert programs
    for program in programs:
        check(program, KNOWN.get(example, ()))


def test_models() -> None:
    gd.random.seed(0)
    ids = gd.placeholder("ids", ("N", 6), "int64")
    for model in (nn.models.gpt(11, 6, 8, 2, 2), nn.models.llama(11, 8, 16, 2, 2, 1)):
        logits = model(ids)
        loss = nn.functional.cross_entropy(logits.reshape(-1, 11), gd.placeholder("y", ("N", 6), "int64").reshape(-1))
        check(gd.compile(loss, updates=optim.AdamW(lr=1e-3).updates(loss, model.parameters())))


def test_recurrent_layers() -> None:
    x = gd.placeholder("x", ("T", "N", 4))
    for layer in (nn.RNN(4, 5), nn.LSTM(4, 5, num_layers=2), nn.GRU(4, 5, bidirectional=True)):
        out, _ = layer(x)
        loss = (out * out).mean()
        check(gd.compile(loss, updates=optim.SGD(lr=0.1).updates(loss, layer.parameters())))
