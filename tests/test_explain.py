"""Derivations read like a textbook: golden texts, and what every step knows."""

from __future__ import annotations

import re
import runpy
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
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
    begun = time.perf_counter()
    derivation = gd.explain(gradient)
    assert time.perf_counter() - begun < 30
    assert "For ℓ = 2, 3, …, 5000:\n    h_ℓ = tanh(h_{ℓ−1} W + 0.1)" in str(derivation)


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


def test_the_textbook(golden: Golden) -> None:
    """The formula that every course derives, with its layout of weights."""
    x, y = gd.placeholder("x", ("N", 4)), gd.placeholder("y", ("N",), "int64")
    w1, w2 = gd.parameter(np.ones((4, 5), "f"), "W1"), gd.parameter(np.ones((5, 3), "f"), "W2")
    h = gd.relu(x @ w1)
    z = h @ w2
    loss = nn.functional.cross_entropy(z, y)
    derivation = gd.explain(gd.grad(loss, w1))
    assert str(derivation.whole) == "dL/dW₁ = xᵀ ((((softmax(z) − onehot(y))/N) W₂ᵀ) ⊙ relu′(h))"
    golden("explain_textbook", without_lines(str(derivation)))


def test_repeated_layers_are_told_once(golden: Golden) -> None:
    x = gd.placeholder("x", ("N", 8))
    weights = [gd.parameter(np.ones((8, 8), "f"), f"W{k}") for k in range(1, 7)]
    h = x
    for weight in weights:
        h = gd.tanh(h @ weight)
    loss = (h * h).sum()
    found = gd.explain(gd.grad(loss, weights[0]))
    assert [step.loop.values for step in found.forward if step.loop] == [("2", "3", "…", "6")]
    golden("explain_layers", without_lines(str(found)))
    ElementTree.fromstring(found._repr_html_())
    assert r"\ell" in found.latex


def test_a_transformer_is_told_by_layer(golden: Golden) -> None:
    gd.random.seed(0)
    model = nn.models.gpt(11, 6, 8, 3, 2, dropout=0.0)
    ids, following = gd.placeholder("ids", ("N", 6), "int64"), gd.placeholder("y", ("N", 6), "int64")
    logits = model(ids)
    loss = nn.functional.cross_entropy(logits.reshape(-1, 11), following.reshape(-1))
    found = gd.explain(gd.Graph([loss, *gd.grad(loss, model.parameters())]))
    golden("explain_transformer", without_lines(str(found)))
    assert {step.loop.index for step in (*found.forward, *found.steps) if step.loop} == {"ℓ"}
    assert str(gd.explain(model)).splitlines()[0] == "logits"


def test_a_scan_is_a_sum_over_time(golden: Golden) -> None:
    xs, h0 = gd.placeholder("x", ("T", "N", 5)), gd.placeholder("h0", ("N", 5))
    w = gd.parameter(np.ones((5, 5), "f"), "W")

    def step(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        h = gd.tanh(h @ w + x)
        return h, h

    _, hs = gd.scan(step, h0, xs)
    loss = (hs * hs).sum()
    derivation = gd.explain(gd.grad(loss, w))
    assert re.fullmatch(r"dL/dW = Σₜ hₜ₋₁ᵀ δ_\{\d,t\}", str(derivation.steps[-1].formula))
    golden("explain_scan", without_lines(str(derivation)))


def test_layers_in_time(golden: Golden) -> None:
    for name, layer in {"rnn": nn.RNN(3, 5), "lstm": nn.LSTM(3, 5)}.items():
        out, _ = layer(gd.placeholder("x", ("T", "N", 3)))
        gradients = gd.grad((out * out).sum(), layer.parameters())
        golden(f"explain_{name}", without_lines(str(gd.explain(gradients))))


def test_a_model_gives_its_forward_formulas() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    with pytest.raises(gd.errors.GraphdlError, match="call the module"):
        gd.explain(net)
    out = net(gd.placeholder("x", ("N", 4)))
    assert str(gd.explain(net).steps[-1].formula) == "out = relu(x W₀ᵀ + b₀) W₂ᵀ + b₂"
    assert out.ndim == 2

    class Named(nn.Module):
        def __init__(self) -> None:
            self.outputs = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.outputs(x)

    named = Named()
    kept = named(gd.placeholder("x", ("N", 4)))
    assert "W_outputsᵀ" in str(gd.explain(named))
    assert kept.ndim == 2


def test_narrow_text() -> None:
    text = gd.explain(gd.grad(Network().loss, Network().parameters)).text(72)
    assert max(map(len, text.splitlines())) <= 72


def test_several_gradients_share_their_steps() -> None:
    network = Network()
    together = gd.explain([network.loss, *gd.grad(network.loss, network.parameters)])
    assert str(together.title) == "dL/dW₁, dL/db₁, dL/dW₂, dL/db₂"
    formulas = [str(step.formula) for step in together.steps]
    assert len(formulas) == len(set(formulas)) == 6
    unused = gd.parameter(np.ones(2, "f"), "unused")
    assert "no path" in gd.explain(gd.grad(network.loss, [*network.parameters, unused])).remark
