"""Recurrent networks and cells against PyTorch's values: outputs, last states and all gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import ShapeError, TypeRuleError
from tests.torch_cases import Case, assert_near, cast, load_cases, make_module, state_of

CASES = load_cases("recurrent.npz")


def leaves(value: Any) -> list[gd.Tensor]:
    """The tensors of nested tuples."""
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [value]


def numbered(case: Case, stem: str) -> list[str]:
    return [part for part in (f"{stem}{k}" for k in range(4)) if part in case]


def symbolic(call: str, shape: tuple[int, ...]) -> tuple[int | str, ...]:
    """The shape with names for the length and the batch."""
    if len(shape) < 3:
        return (("N" if "Cell" in call else "L"), *shape[1:]) if len(shape) == 2 else shape
    return ("N", "L", shape[2]) if "batch_first" in call else ("L", "N", shape[2])


class Network:
    """A case's module, applied, with its loss and gradients."""

    def __init__(self, name: str, dtype: str, is_symbolic: bool) -> None:
        case = cast(CASES[name], dtype)
        call = name.removesuffix(" with lengths")
        self.case = case
        self.module = make_module(call, dtype)
        self.module.load_state_dict(state_of(case))
        self.x = gd.placeholder("x", symbolic(call, case["input"].shape) if is_symbolic else case["input"].shape, dtype)
        self.states = [gd.placeholder(part, case[part].shape, dtype) for part in numbered(case, "initial")]
        self.lengths = [gd.placeholder("lengths", case["lengths"].shape, "int64")] if "lengths" in case else []
        options = {"lengths": self.lengths[0]} if self.lengths else {}
        hx = {0: None, 1: self.states[:1][-1] if self.states else None, 2: tuple(self.states)}[len(self.states)]
        self.results = leaves(self.module(self.x, hx, **options))

    @property
    def inputs(self) -> list[gd.Tensor]:
        return [self.x, *self.states, *self.lengths]

    @property
    def given(self) -> list[Any]:
        return [self.case["input"], *(self.case[str(x.name)] for x in (*self.states, *self.lengths))]

    def expected(self) -> list[Any]:
        case = self.case
        gradients = [case[f"grad|{name}"] for name, _ in self.module.named_parameters()]
        return [*(case[part] for part in numbered(case, "result")), *gradients, case["grad_input"], *(case[part] for part in numbered(case, "grad_state"))]

    def outputs(self) -> list[gd.Tensor]:
        weights = [np.cos(np.arange(y.size).reshape(y.shape)).astype(y.dtype) for y in (self.case[part] for part in numbered(self.case, "result"))]
        loss = gd.constant(0.0, self.x.dtype)
        for result, weight in zip(self.results, weights, strict=True):
            loss = loss + (result * gd.constant(weight)).sum()
        return [*self.results, *gd.grad(loss, [*self.module.parameters(), self.x, *self.states])]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "is_symbolic"), [("float64", True), ("float32", False)])
def test_like_pytorch(name: str, dtype: str, is_symbolic: bool) -> None:
    network = Network(name, dtype, is_symbolic)
    found = gd.compile(network.outputs(), inputs=network.inputs)(*network.given)
    for k, (actual, expected) in enumerate(zip(found, network.expected(), strict=True)):
        assert_near(actual, expected, dtype, f"{name}: {k}")


@pytest.mark.parametrize("name", [name for name in CASES if "num_layers" in name])
def test_the_interpreter_agrees(name: str) -> None:
    network = Network(name, "float64", True)
    found = gd.compile(network.outputs(), inputs=network.inputs, backend="numpy", passes="none")(*network.given)
    for actual, expected in zip(found, network.expected(), strict=True):
        assert_near(actual, expected, "float64", name)


def test_dropout_between_layers_only_in_training() -> None:
    module = nn.GRU(3, 64, num_layers=2, dropout=0.5)
    x = gd.placeholder("x", ("L", 2, 3))
    output, _ = module(x)
    ones = np.ones((5, 2, 3), "f")
    quiet = gd.compile(output, inputs=[x], mode="inference")
    assert np.array_equal(quiet(ones), quiet(ones))
    noisy = gd.compile(output, inputs=[x])
    assert not np.array_equal(noisy(ones), quiet(ones))


def test_one_projection_for_all_steps() -> None:
    module = nn.LSTM(8, 16)
    output, _ = module(gd.placeholder("x", ("L", 4, 8)))
    scans = [node for node in gd.Graph(output).nodes if node.op.name == "scan"]
    assert len(scans) == 1
    assert sum(node.op.pattern == "contraction" for node in scans[0].op.body.nodes) == 1


def test_parameters_have_pytorchs_names() -> None:
    names = [name for name, _ in nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2).named_parameters()]
    assert names[:6] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0", "weight_ih_l0_reverse"]
    assert names[-1] == "weight_hr_l1_reverse"
    assert repr(nn.GRU(3, 4, num_layers=2)) == "GRU(3, 4, num_layers=2)"


def test_errors() -> None:
    x = gd.placeholder("x", ("L", "N", 3))
    with pytest.raises(ShapeError, match=r"LSTM: needs an input \(L, N, 4\)"):
        nn.LSTM(4, 5)(x)
    with pytest.raises(ShapeError, match=r"initial state.*2, N, 5"):
        nn.GRU(3, 5, num_layers=2)(x, gd.zeros((1, 2, 5)))
    with pytest.raises(ShapeError, match="RNNCell: the initial state"):
        nn.RNNCell(3, 5)(gd.zeros((2, 3)), gd.zeros((2, 4)))
    with pytest.raises(TypeRuleError, match="lengths are integers"):
        nn.RNN(3, 5)(x, lengths=gd.zeros((2,)))
    with pytest.raises(ValueError, match="proj_size"):
        nn.LSTM(3, 5, proj_size=5)
    with pytest.raises(ValueError, match="tanh or relu"):
        nn.RNN(3, 5, nonlinearity="gelu")
    with pytest.raises(ValueError, match="at least 1"):
        nn.GRU(3, 0)
