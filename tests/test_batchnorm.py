"""Normalisation with running statistics against PyTorch's values: training, the statistics it leaves, inference."""

from __future__ import annotations

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.errors import ShapeError
from graphdl.nn.buffer import assignments
from tests.torch_cases import assert_equals_pytorch, assert_near, cast, load_cases, make_module, state_of, weighted

CASES = load_cases("batchnorm.npz")
each_case = pytest.mark.parametrize("call", CASES)
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])
each_backend = pytest.mark.parametrize("backend", ["native", "numpy"])


@each_backend
@each_dtype
@each_case
def test_training_equals_pytorch(call: str, dtype: str, backend: str) -> None:
    assert_equals_pytorch(call, CASES[call], dtype, backend, {0: "N"})


@each_backend
@each_dtype
@each_case
def test_running_statistics_equal_pytorch(call: str, dtype: str, backend: str) -> None:
    reference = cast(CASES[call], dtype)
    module = make_module(call, dtype)
    module.load_state_dict(state_of(reference))
    x = gd.placeholder("x", ("N", *reference["inputs"].shape[2:]), dtype)
    loss = module(x).sum()
    step = gd.compile(loss, [x], updates=assignments([loss]), backend=backend)
    for array in reference["inputs"]:
        step(array)
    assert set(module.state_dict()) == set(state_of(reference, "after|"))
    for name, array in state_of(reference, "after|").items():
        assert_near(module.state_dict()[name], array, dtype, name)


@each_backend
@each_dtype
@each_case
def test_inference_equals_pytorch(call: str, dtype: str, backend: str) -> None:
    reference = cast(CASES[call], dtype)
    module = make_module(call, dtype)
    module.load_state_dict(state_of(reference, "after|"))
    x = gd.placeholder("x", ("N", *reference["input"].shape[1:]), dtype)
    result = module(x)
    gradients = gd.grad(weighted(result, reference["output"]), [x, *module.parameters()])
    values = gd.compile([result, *gradients], [x], mode="inference", backend=backend)(reference["inference|input"])
    assert_near(values[0], reference["inference|output"], dtype, "output")
    for k, value in enumerate(values[1:]):
        assert_near(value, reference[f"inference|gradient{k}"], dtype, f"gradient {k}")


def test_training_steps_keep_running_statistics() -> None:
    x = gd.placeholder("x", ("N", 3))
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    loss = (net(x) ** 2).sum()
    step = gd.compile(loss, [x], updates=optim.SGD(lr=0.0).updates(loss, net.parameters()))
    for _ in range(3):
        step(np.random.default_rng(0).normal(size=(5, 3)).astype("f"))
    state = net.state_dict()
    assert state["1.num_batches_tracked"] == 3
    assert state["1.running_mean"].any()
    predict = gd.compile(net(x), [x], mode="inference")
    one = np.ones((1, 3), "f")
    np.testing.assert_allclose(predict(one), predict(np.repeat(one, 2, 0))[:1], rtol=1e-6)  # no statistics of the batch


def test_inference_reads_no_batch_statistics() -> None:
    x = gd.placeholder("x", ("N", 3, 4, 4))
    f = gd.compile(nn.BatchNorm2d(3)(x), [x], mode="inference")
    assert not any(node.op.name == "sum" for node in f.graph.nodes)


def test_unfit_inputs_are_refused() -> None:
    with pytest.raises(ShapeError, match="4 axes"):
        nn.BatchNorm2d(3)(gd.placeholder("x", ("N", 3)))
    with pytest.raises(ShapeError, match="4 channels"):
        nn.BatchNorm1d(3)(gd.placeholder("x", ("N", 4)))
