"""Derivations read like a textbook: golden texts, and what every step knows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import graphdl as gd
from graphdl.ir import Source, Tensor

from .conftest import Golden

HERE = Path(__file__).name


class Network:
    """Two layers and the cross entropy, written by hand."""

    def __init__(self) -> None:
        x = gd.placeholder("x", ("N", 4))
        y = gd.placeholder("y", ("N",), "int64")
        sizes = {"W1": (5, 4), "b1": (5,), "W2": (3, 5), "b2": (3,)}
        self.parameters = [gd.parameter(np.ones(shape, "f"), name) for name, shape in sizes.items()]
        w1, b1, w2, b2 = self.parameters
        h = gd.relu(x @ w1.T + b1)
        z = h @ w2.T + b2
        onehot = (y.reshape(-1, 1) == gd.arange(3)).astype("float32")
        self.loss: Tensor = -(gd.log_softmax(z) * onehot).sum(axis=1).mean()
        self.hidden = h


def without_lines(text: str) -> str:
    """The text with line numbers of this file taken out, so that editing it changes no golden."""
    return re.sub(rf"{re.escape(HERE)}:\d+", HERE, text)


def test_two_layers(golden: Golden) -> None:
    network = Network()
    derivations = [gd.explain(gradient) for gradient in gd.grad(network.loss, network.parameters)]
    golden("explain_two_layers", without_lines("\n\n".join(map(str, derivations))))
    assert max(len(line) for derivation in derivations for line in str(derivation).splitlines()) <= 100


def test_latex(golden: Golden) -> None:
    network = Network()
    golden("explain_two_layers_latex", gd.explain(gd.grad(network.loss, network.parameters)[0]).latex)


def test_steps_know_rule_forward_node_and_line() -> None:
    network = Network()
    w1 = network.parameters[0]
    (gradient,) = gd.grad(network.loss, [w1])
    derivation = gd.explain(gradient)
    assert [step.rule.split(", ")[-1] for step in derivation.steps] == ["log_softmax", "relu", "transpose"]
    assert [step.forward.op.name for step in derivation.steps] == ["log_softmax", "relu", "transpose"]
    assert all(isinstance(step.source, Source) and Path(step.source.file).name == HERE for step in derivation.steps)
    assert derivation.steps[-1].tensor is gradient
    assert str(derivation.steps[-1].formula) == "dL/dW₁ = δ₂ᵀ x"
    assert str(derivation.steps[0].formula) == "δ₁ = dL/dz = (softmax(z) − onehot(y))/N"


def test_html_is_well_formed_and_escaped() -> None:
    x = gd.placeholder("<b>&x", (3,))
    (gradient,) = gd.grad((x * x).sum(), [x])
    html = gd.explain(gradient)._repr_html_()
    ElementTree.fromstring(html)
    assert "<b>" not in html


def test_forward_formulas(golden: Golden) -> None:
    golden("explain_forward", without_lines(str(gd.explain(Network().loss))))


def test_zero_says_why() -> None:
    network = Network()
    (gradient,) = gd.grad(network.loss, [gd.parameter(np.ones(2, "f"), "unused")])
    assert "no path" in str(gd.explain(gradient))


def test_an_input_is_its_name() -> None:
    derivation = gd.explain(gd.placeholder("x", (2,)))
    assert str(derivation).startswith("x\n")
    assert not derivation.steps


def test_bare_loops_are_numbered() -> None:
    x = gd.placeholder("x", ("N", 3))
    w = [gd.parameter(np.ones((3, 3), "f"), f"W{k}") for k in (1, 2)]
    h = x
    for weight in w:
        h = gd.tanh(h @ weight)
    loss = (h * h).sum()
    (gradient,) = gd.grad(loss, w[:1])
    text = str(gd.explain(gradient))
    assert "h₁ = tanh(x W₁)" in text
    assert "h₂ = tanh(h₁ W₂)" in text


@pytest.mark.parametrize("function", [lambda x: gd.hvp((x * x * x).sum(), [x], [x])[0], lambda x: gd.jvp([x.exp()], [x], [x])[0]])
def test_other_derivatives_are_explained_too(function: object) -> None:
    tensor = function(gd.placeholder("x", (3,)))  # type: ignore[operator]
    derivation = gd.explain(tensor)
    assert derivation.steps[-1].tensor is tensor


def test_a_gradient_of_a_gradient() -> None:
    x = gd.placeholder("x", ())
    first = gd.grad(x.exp() * x, x)
    assert isinstance(first, Tensor)
    second = gd.grad(first, x)
    assert isinstance(second, Tensor)
    assert str(gd.explain(second).title) == "dL/dx"


def test_fifty_thousand_nodes() -> None:
    x = gd.placeholder("x", ("N", 2))
    w = gd.parameter(np.ones((2, 2), "f"), "W")
    h = x
    for _ in range(5000):
        h = gd.tanh(h @ w + 0.1)
    (gradient,) = gd.grad(h.sum(), [w])
    assert len(gd.Graph(gradient).nodes) > 50_000 - 5_000
    assert len(str(gd.explain(gradient)).splitlines()) > 5000


def test_a_vanished_source_file(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text("import graphdl as gd\nx = gd.placeholder('x', (2,))\nloss = (x.exp() * x.sin()).sum()\ng = gd.grad(loss, x)\n", encoding="utf-8")
    scope = runpy.run_path(str(path))
    path.unlink()
    assert "model.py:3" in str(gd.explain(scope["g"]))


@pytest.mark.parametrize(("exponent", "formula"), [(2, "2 x"), (3, "3 x²"), (0.5, "0.5 x^(−0.5)")])
def test_derivatives_of_powers_read_as_in_a_textbook(exponent: float, formula: str) -> None:
    x = gd.placeholder("x", ("N",), "float64")
    gradient = gd.grad((x**exponent).sum(), x)
    assert str(gd.explain(gradient).steps[-1].formula) == f"dL/dx = {formula}"
    values = np.array([0.5, 1.0, 3.0])
    np.testing.assert_allclose(gd.compile(gradient, [x])(values), exponent * values ** (exponent - 1), rtol=1e-14)
