"""Derivations read like a textbook: golden texts, and what every step knows."""

from __future__ import annotations

import re
import runpy
import time
from collections.abc import Callable
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


def lines_of(tensor: Tensor) -> list[str]:
    derivation = gd.explain(tensor)
    return [str(step.formula) for step in (*derivation.forward, *derivation.steps)]


def test_numbers_and_sizes_are_worked_out() -> None:
    x, w = gd.placeholder("x", ("N", 6)), gd.parameter(np.ones((6, 4), "f"), "W")
    error = x @ w
    loss = 0.5 * nn.functional.mse_loss(error, gd.zeros(error.shape))
    assert lines_of(gd.grad(loss, w)) == ["error = x W", "L = (Σ error²)/(8 N)", "δ₁ = dL/derror = error/(4 N)", "dL/dW = xᵀ δ₁"]


def test_small_and_large_numbers_are_powers_of_ten() -> None:
    x = gd.placeholder("x", (3,))
    assert str(gd.explain((x + 1e-5).sum()).steps[-1].formula) == "L = Σ (x + 10⁻⁵)"
    assert str(gd.explain((x * 2.5e-7).sum()).steps[-1].formula) == "L = (2.5 · 10⁻⁷) (Σ x)"
    assert r"10^{-5}" in gd.explain((x + 1e-5).sum()).latex


def test_what_follows_a_sum_is_no_part_of_it() -> None:
    x = gd.placeholder("x", (3,))
    assert str(gd.explain(x.sum() - 1).steps[-1].formula) == "L = (Σ x) − 1"


def test_what_is_put_in_is_simplified() -> None:
    x, y = gd.placeholder("x", ("N", 3), "float64"), gd.placeholder("y", ("N",), "float64")
    w = gd.parameter(np.ones(3), "w")
    p = gd.sigmoid(x @ w)
    loss = -(y * gd.log(p) + (1 - y) * gd.log(1 - p)).mean()
    assert str(gd.explain(gd.grad(loss, w)).whole) == "dL/dw = xᵀ ((h₁/(N h₂) − y/(N p)) ⊙ p ⊙ h₂)"


def test_the_line_in_one_has_the_names_of_the_others() -> None:
    net = nn.Sequential(nn.Linear(4, 4), *[nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.GELU()) for _ in range(4)], nn.Linear(4, 1))
    x, t = gd.placeholder("x", ("N", 4)), gd.placeholder("t", ("N", 1))
    loss = nn.functional.mse_loss(net(x), t)
    derivation = gd.explain(gd.grad(loss, net.parameters()[-1]))
    names = {str(step.formula.parts[0]) for step in derivation.forward}
    assert derivation.whole is not None
    assert str(derivation.whole).rsplit(" ", 1)[1].split("/")[0].strip("()") in names


def test_values_inside_of_a_call_do_not_take_the_name_of_the_line() -> None:
    net = nn.Sequential(nn.Linear(4, 3), *[nn.ReLU() for _ in range(1)], nn.Linear(3, 1))
    x = gd.placeholder("x", ("N", 4))
    loss = (net(x) ** 2).mean()
    assert not any(line.startswith("loss") for line in lines_of(gd.grad(loss, net.parameters()[0])))


def test_inputs_and_parameters_keep_their_names() -> None:
    x, first, second = gd.placeholder("x", ("N", 4)), nn.Linear(4, 4), nn.Linear(4, 2)
    b = gd.tanh(first(x))
    x = gd.tanh(second(b))
    lines = lines_of(gd.grad((x * x).sum(), first.parameters()[0]))
    assert lines[0] == "b = tanh(x W₁ᵀ + b₁)"
    assert lines[1] == "x₁ = tanh(b W₂ᵀ + b₂)"


def test_a_forward_node_keeps_its_line() -> None:
    x = gd.placeholder("x", (3,))
    p = gd.sigmoid(x)
    q = 1 - p
    line = q.node.provenance.source
    gd.grad((q * q).sum(), x)
    assert q.node.provenance.source == line


def test_the_derivative_by_a_transpose_is_told_as_that_by_the_matrix() -> None:
    x, w = gd.placeholder("x", ("N", 4)), gd.parameter(np.ones((3, 4), "f"), "W")
    (gradient,) = gd.grad(gd.tanh(x @ w.T).sum() + (w * w).sum(), [w])
    assert not any("dL/dWᵀ" in line for line in lines_of(gradient))


def test_part_of_a_stack_is_no_whole_of_it() -> None:
    layers = nn.RNN(4, 3, num_layers=2, bidirectional=True)
    x = gd.placeholder("x", ("T", "N", 4))
    text = str(gd.explain(gd.grad((layers(x)[0] ** 2).sum(), layers.parameters()[0])))
    assert re.search(r"δ[₀-₉]+\[…, :3\]\[t\]", text)


def test_an_element_along_another_axis_than_the_first() -> None:
    w = gd.parameter(np.ones((4, 5, 3), "f"), "W")
    last, _ = gd.scan(lambda held, u: (gd.tanh(held + u), held), gd.zeros((3,)), w.sum(axis=0))
    assert "hₜ = tanh(hₜ₋₁ + Σᵢ W[:, t])" in str(gd.explain(gd.grad((last * last).sum(), w)))


def test_values_beside_a_loop_are_no_steps_of_it() -> None:
    layer = nn.RNN(4, 3)
    x = gd.placeholder("x", ("T", "N", 4))
    text = str(gd.explain((layer(x)[0] ** 2).sum()))
    assert "hₜ = tanh(" in text
    assert "  h₁ =" not in text
    both = nn.RNN(4, 3, bidirectional=True)
    text = str(gd.explain((both(x)[0] ** 2).sum()))
    assert all(line in text for line in ("h_{1,t} = ", "h_{2,t} = "))
    assert "hₜ = " not in text


def test_branches_are_told() -> None:
    x, flag = gd.placeholder("x", (3,)), gd.placeholder("flag", (), "bool")
    r = gd.cond(flag, lambda u: (u * u).sum(), lambda u: gd.abs(u).sum(), x)
    assert lines_of(gd.grad(r, x)) == ["L = cond(flag, Σ x², Σ |x|)", "dL/dx = cond(flag, 2 x, sign(x))"]


def test_random_numbers_have_a_name() -> None:
    m, s = gd.placeholder("m", (4,)), gd.placeholder("s", (4,))
    z = m + gd.exp(s) * gd.random.normal((4,))
    lines = lines_of(gd.grad((z * z).sum(), s))
    assert any(line.startswith("ε = ") for line in lines)
    assert "z = m + exp(s) ⊙ ε" in lines


def test_convolutions_tell_strides_and_turned_kernels() -> None:
    x, conv = gd.placeholder("x", ("N", 3, 8, 8)), nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
    text = "\n".join(lines_of(gd.grad((conv(x) ** 2).sum(), x)))
    assert "conv(x, W, stride = 2)" in text
    assert "transpose₁₀₂₃(W)[…, ::-1, ::-1], spread = 2)" in text


def test_slices_and_what_they_are_placed_in() -> None:
    x = gd.placeholder("x", (8, 6))
    text = "\n".join(lines_of(gd.grad((x[1::2, 2:4] ** 3).sum(), x)))
    assert all(part in text for part in ("x[1::2, 2:4]", "[1::2, 2:4])"))


def test_the_gradients_of_layers_are_told_once_too() -> None:
    net = nn.Sequential(*[nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.GELU()) for _ in range(5)], nn.Linear(4, 1))
    x, t = gd.placeholder("x", ("N", 4)), gd.placeholder("t", ("N", 1))
    loss = nn.functional.mse_loss(net(x), t)
    text = str(gd.explain(gd.grad(loss, net.parameters())))
    assert "dL/dW_ℓ.0 = " in text
    assert "dL/dW_0.0 = " not in text
    assert all(len(set(found)) == 2 for found in re.findall(r"(\S+) = (\S+?)[,:]\n", text))


def test_products_with_zero_vanish() -> None:
    x, w = gd.placeholder("x", (6, 2, 3)), gd.parameter(np.eye(3, dtype="f"), "W")
    h = gd.zeros((2, 3))
    for t in range(2):
        h = gd.tanh(x[t] + h @ w)
    lines = lines_of(gd.grad((h * h).sum(), w))
    assert lines[0] == "h₁ = tanh(x[0])"
    assert not any(" 0 " in f"{line} " for line in lines)


def attending_step() -> tuple[Tensor, list[Tensor]]:
    net = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    loss = (net(gd.placeholder("x", (3, 200, 8)), is_causal=True) ** 2).mean()
    return loss, gd.grad(loss, net.parameters())


def recurrent_step() -> tuple[Tensor, list[Tensor]]:
    net = nn.LSTM(3, 4)
    loss = (net(gd.placeholder("x", ("T", "N", 3)))[0] ** 2).mean()
    return loss, gd.grad(loss, net.parameters())


@pytest.mark.parametrize("declare", [attending_step, recurrent_step])
def test_compiling_changes_no_derivation(declare: Callable[[], tuple[Tensor, list[Tensor]]]) -> None:
    loss, gradients = declare()
    before = str(gd.explain(gradients[0]))
    gd.lint(loss)
    gd.compile([loss, *gradients]).kernels.__len__()
    assert str(gd.explain(gradients[0])) == before


def test_what_compiling_made_is_told_like_any_other() -> None:
    x = gd.placeholder("x", ("N",))
    program = gd.compile(gd.exp(x * 1.0) * 1.0)
    loss = gd.exp(x).sum()
    assert program.graph.outputs[0].node is loss.node.operands[0].node
    assert "passes" not in str(gd.explain(gd.grad(loss, x)))
    assert loss.node.operands[0].node.provenance.declared.sources == loss.node.provenance.sources


def test_the_derivative_of_a_quotient_is_written_out() -> None:
    x, y = gd.placeholder("x", ("N",)), gd.placeholder("y", ("N",))
    assert lines_of(gd.grad((x / y).sum(), y))[-1].startswith("dL/dy = −x/y²")


def test_lines_of_a_loop_name_their_own_rules() -> None:
    x, w = gd.placeholder("x", ("N", 3)), gd.parameter(np.eye(3, dtype="f"), "W")
    last, _ = gd.scan(lambda h, _: (gd.tanh(h @ w), h), x, length=5)
    rules = {step.rule for step in gd.explain(gd.grad((last**2).sum(), w)).steps if step.rule}
    assert {"tanh", "matmul"} <= rules
