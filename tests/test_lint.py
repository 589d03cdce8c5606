"""The linter finds what will be NaN, infinite or silently zero, and is silent on what the project itself offers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim

from .torch_cases import Case, load_cases, make_module

Build = Callable[[gd.Tensor], gd.Tensor]


def weighted() -> gd.Tensor:
    """Numbers of any sign that depend on a parameter."""
    return gd.placeholder("a", ("N", 8)) * gd.parameter(np.ones(8, "f"), "w")


def row_sum(x: gd.Tensor) -> gd.Tensor:
    return gd.sum(x, axis=1, keepdims=True)


def running_softmax(held: tuple[gd.Tensor, gd.Tensor], x: gd.Tensor) -> tuple[tuple[gd.Tensor, gd.Tensor], gd.Tensor]:
    """The maximum so far, and the sum of exponentials relative to it (Milakov, Gimelshein 2018)."""
    largest = gd.maximum(held[0], x)
    return (largest, held[1] * gd.exp(held[0] - largest) + gd.exp(x - largest)), x


FLAG = gd.placeholder("flag", (), "bool")
BAD: dict[str, tuple[Build, str, str]] = {
    "root at 0": (lambda z: gd.sqrt(row_sum(z * z)), "domain", "eps"),
    "root of a negative": (gd.sqrt, "domain", "eps"),
    "reciprocal root": (lambda z: gd.rsqrt(z * z), "domain", "eps"),
    "log at 0": (lambda z: gd.log(gd.abs(z)), "domain", "small positive"),
    "division": (lambda z: 1 / z, "domain", "divisor"),
    "fractional power": (lambda z: z**0.5, "domain", "base positive"),
    "log through where": (lambda z: gd.where(z > 0, gd.log(z), 0.0), "where", "gd.where(c, f(gd.where(c, x, safe)), y)"),
    "exp through where": (lambda z: gd.where(z > 0, z, gd.exp(z) - 1), "domain", "gd.where(c, f(gd.where(c, x, safe)), y)"),
    "log of softmax": (lambda z: gd.log(gd.softmax(z, 1)), "domain", "gd.log_softmax"),
    "log of sigmoid": (lambda z: gd.log(gd.sigmoid(z)), "domain", "logits"),
    "softmax without maximum": (lambda z: gd.exp(z) / row_sum(gd.exp(z)), "domain", ""),
    "log of a sum of exp": (lambda z: gd.log(row_sum(gd.exp(z))), "domain", "gd.logsumexp"),
    "integer cut": (lambda z: z.astype("int32").astype("float32"), "integer cut", "gd.stop_gradient"),
    "exp of a square": (lambda z: gd.exp(z * z), "domain", "gd.logsumexp"),
    "exp of exp": (lambda z: gd.exp(gd.exp(z)), "domain", "gd.minimum"),
    "norm at 0": (lambda z: gd.sqrt(gd.sum(z**2)), "domain", "eps"),
    "squared error of a sigmoid": (lambda z: nn.functional.mse_loss(gd.sigmoid(z), gd.placeholder("t", ("N", 8))), "saturation", "with_logits"),
    "sign": (gd.sign, "dead gradient", "slope"),
    "a step": (lambda z: (z > 0).astype("float32"), "dead gradient", "gd.stop_gradient"),
    "rounded": (gd.round, "dead gradient", "slope"),
    "relu of negatives": (lambda z: gd.relu(-(z * z)), "dead gradient", "slope"),
    "broadcast": (lambda z: row_sum(z) - gd.sum(z, axis=1), "broadcast", "reshape"),
    "log of a sigmoid by hand": (lambda z: gd.log(1 / (1 + gd.exp(-z))), "domain", "logits"),
    "squared error of a sigmoid by hand": (lambda z: (1 / (1 + gd.exp(-z)) - 0.3) ** 2, "saturation", "with_logits"),
    "squared error of a scaled tanh": (lambda z: (0.5 * (1 + gd.tanh(z)) - 0.3) ** 2, "saturation", "with_logits"),
    "log in a branch": (lambda z: gd.cond(FLAG, gd.log, lambda x: x, z), "domain", "small positive"),
    "root in a loop": (lambda z: gd.scan(lambda c, u: (gd.sqrt(c * c), c + u), gd.sum(z, axis=0), z)[0], "domain", "eps"),
    "log in a while": (lambda z: gd.while_loop(lambda c: gd.sum(c) < 9, lambda c: gd.log(c * c), gd.sum(z, axis=0), 5), "domain", "small positive"),
    "exp that grows in a loop": (lambda z: gd.scan(lambda c, u: (gd.exp(c) * u, c), gd.sum(z, axis=0), z)[0], "domain", "gd.minimum"),
}
GOOD: dict[str, Build] = {
    "root": lambda z: gd.sqrt(row_sum(z * z) + 1e-6),
    "log": lambda z: gd.log(gd.abs(z) + 1e-3),
    "two wheres": lambda z: gd.where(z > 0, gd.log(gd.where(z > 0, z, 1.0)), 0.0),
    "softmax with maximum": lambda z: gd.exp(z - gd.max(z, axis=1, keepdims=True)) / row_sum(gd.exp(z - gd.max(z, axis=1, keepdims=True))),
    "logsumexp": lambda z: gd.logsumexp(z, axis=1),
    "square": lambda z: z**2,
    "standardised": lambda z: (z - gd.mean(z)) * gd.rsqrt(gd.var(z) + 1e-5),
    "exp": gd.exp,
    "a learned temperature": lambda z: gd.softmax(z / gd.parameter(np.full(1, 2.0, "f"), "temperature"), axis=1),
    "gauss": lambda z: gd.exp(-0.5 * z * z),
    "gauss of distances": lambda z: gd.exp(-(z * z) / 3.0),
    "hypot": lambda z: gd.hypot(z, z + 1),
    "not 0 and not infinite": lambda z: gd.where((z == 0) | (z == np.inf), 1.0, 1 / gd.where((z == 0) | (z == np.inf), 1.0, z)),
    "a relu after an exp": lambda z: gd.relu(z + gd.exp(0.5 * z) * z),
    "focal loss": lambda z: -((1 - gd.sigmoid(z)) ** 2) * gd.logsigmoid(z),
    "log in a safe branch": lambda z: gd.cond(FLAG, lambda x: gd.log(gd.abs(x) + 1e-3), lambda x: x, z),
    "moving average in a loop": lambda z: gd.scan(lambda c, u: (0.9 * c + 0.1 * u * u, u / gd.sqrt(c + 1e-6)), gd.zeros((8,)), z)[1],
    "counter in a loop": lambda z: gd.scan(lambda c, u: (c + 1.0, u / (c + 1.0)), gd.zeros((8,)), z)[1],
    "softmax in a loop": lambda z: gd.scan(running_softmax, (gd.full((8,), -1e30), gd.zeros((8,))), z)[0][1],
    "bounded while": lambda z: gd.while_loop(lambda c: gd.sum(c) < 9, lambda c: gd.sqrt(c * c + 1.0), gd.sum(z, axis=0), 5),
    "exp of minus a square": lambda z: gd.exp(-(z * z)),
    "a bounded exp": lambda z: gd.exp(gd.minimum(z * z, 50.0)),
    "squared error": lambda z: nn.functional.mse_loss(z, gd.placeholder("t", ("N", 8))),
    "squared error of tanh": lambda z: nn.functional.mse_loss(gd.tanh(z), gd.placeholder("t", ("N", 8))),
    "sigmoid and cross entropy": lambda z: nn.functional.binary_cross_entropy_with_logits(z, gd.placeholder("t", ("N", 8))),
    "stopped": lambda z: z * gd.stop_gradient(gd.sign(z)),
    "maximum": lambda z: gd.max(z, axis=1),
    "normal": lambda z: z + gd.random.normal((8,)),
    "clipped divisor": lambda z: z / gd.maximum(gd.abs(z), 1e-3),
}


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    build, rule, remedy = BAD[name]
    found = gd.lint(build(weighted()))
    assert [one.rule for one in found] == [rule]
    assert remedy in found[0].remedy
    assert found[0].source is not None
    assert Path(found[0].source.file).name == Path(__file__).name


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    assert gd.lint(GOOD[name](weighted())) == []


def test_line_is_the_users() -> None:
    z = weighted()
    bad = gd.log(z)
    (finding,) = gd.lint(bad)
    assert finding.source == bad.node.provenance.source
    assert str(finding).startswith(f"{__file__}:")


def test_a_gradient_that_is_always_zero() -> None:
    z, other = weighted(), gd.parameter(np.ones(3, "f"), "other")
    loss = (z * z).sum()
    found = gd.lint([loss, *gd.grad(loss, [*gd.Graph(loss).parameters, other])])
    assert [one.rule for one in found] == ["zero gradient"]


def test_unused_parameter() -> None:
    z, spare = weighted(), gd.parameter(np.ones(3, "f"), "spare")
    (finding,) = gd.lint(z, parameters=[spare])
    assert finding.rule == "unused parameter"
    assert "spare" in finding.message


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU, "LeakyReLU": nn.LeakyReLU, "ELU": nn.ELU, "SELU": nn.SELU, "GELU": nn.GELU, "SiLU": nn.SiLU, "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh, "Softplus": nn.Softplus, "Mish": nn.Mish, "Hardswish": nn.Hardswish, "Hardsigmoid": nn.Hardsigmoid, "LogSigmoid": nn.LogSigmoid,
    "Softmax": lambda: nn.Softmax(dim=1),
    "LogSoftmax": lambda: nn.LogSoftmax(dim=1),
    "LayerNorm": lambda: nn.LayerNorm(8),
    "BatchNorm1d": lambda: nn.BatchNorm1d(8),
    "Dropout": lambda: nn.Dropout(0.5),
    "Linear": lambda: nn.Linear(8, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_clean(name: str) -> None:
    net = nn.Sequential(nn.Linear(8, 8), LAYERS[name]())
    assert gd.lint(gd.sum(net(gd.placeholder("x", ("N", 8))) ** 2)) == []


LAYERS_OF_THE_REFERENCES = [
    (call, case) for file in ("spatial.npz", "batchnorm.npz", "modules.npz") for call, case in load_cases(file).items() if not call.endswith("|inference")
]


@pytest.mark.parametrize(("call", "case"), LAYERS_OF_THE_REFERENCES, ids=[call for call, _ in LAYERS_OF_THE_REFERENCES])
def test_layers_of_all_configurations_are_clean(call: str, case: Case) -> None:
    arrays = [case[name] for name in sorted(case) if name.startswith("input") and name != "inputs"]
    shapes: list[tuple[Any, ...]] = [("N", *array.shape[1:]) if array.ndim > 1 else array.shape for array in arrays]
    inputs = [
        gd.placeholder(f"x{k}", shape, "int64" if array.dtype.kind == "i" else "float32") for k, (shape, array) in enumerate(zip(shapes, arrays, strict=True))
    ]
    output = make_module(call, "float32")(*inputs)
    assert gd.lint(gd.sum((output[0] if isinstance(output, tuple) else output) ** 2)) == []


LOSSES: dict[str, Callable[[gd.Tensor, gd.Tensor, gd.Tensor], gd.Tensor]] = {
    "cross_entropy": lambda z, y, t: nn.functional.cross_entropy(z, y),
    "cross_entropy of probabilities": lambda z, y, t: nn.functional.cross_entropy(z, gd.softmax(t, 1)),
    "mse_loss": lambda z, y, t: nn.functional.mse_loss(z, t),
    "l1_loss": lambda z, y, t: nn.functional.l1_loss(z, t),
    "huber_loss": lambda z, y, t: nn.functional.huber_loss(z, t),
    "binary_cross_entropy_with_logits": lambda z, y, t: nn.functional.binary_cross_entropy_with_logits(z, t),
    "kl_div": lambda z, y, t: nn.functional.kl_div(gd.log_softmax(z, 1), gd.softmax(t, 1)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_clean(name: str) -> None:
    z, y, t = nn.Linear(8, 8)(gd.placeholder("x", ("N", 8))), gd.placeholder("y", ("N",), "int64"), gd.placeholder("t", ("N", 8))
    assert gd.lint(LOSSES[name](z, y, t)) == []


def test_networks_are_clean() -> None:
    image, sequence = gd.placeholder("image", ("N", 3, 12, 12)), gd.placeholder("sequence", ("N", 9, 8))
    convolutions = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    assert gd.lint(convolutions(image)) == []
    assert gd.lint(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)(sequence)) == []


OPTIMISERS: dict[str, Callable[[], optim.Optimizer]] = {
    "SGD": lambda: optim.SGD(lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda: optim.Adam(lr=1e-3, clip_norm=1.0),
    "AMSGrad": lambda: optim.Adam(lr=1e-3, amsgrad=True),
    "AdamW": lambda: optim.AdamW(lr=1e-3),
    "RMSprop": lambda: optim.RMSprop(lr=1e-3, centered=True, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_are_clean(name: str) -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    loss = nn.functional.cross_entropy(net(gd.placeholder("x", ("N", 8))), gd.placeholder("y", ("N",), "int64"))
    updates = OPTIMISERS[name]().updates(loss, net.parameters())
    assert gd.lint([loss, *updates.values()]) == []


def test_the_loss_of_ctc_is_stable() -> None:
    x, y = gd.placeholder("x", ("T", "N", 5)), gd.placeholder("y", ("N", "S"), "int64")
    steps, lengths = gd.placeholder("steps", ("N",), "int64"), gd.placeholder("lengths", ("N",), "int64")
    assert gd.lint(nn.functional.ctc_loss(gd.log_softmax(x, -1), y, steps, lengths)) == []
