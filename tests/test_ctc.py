"""Connectionist temporal classification: PyTorch's values and gradients, by the sum over all ways, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import IndexOutOfRangeError, ShapeError, TypeRuleError

from .torch_cases import Array, Case, assert_near, cast, load_cases, weighted

CASES = load_cases("ctc.npz")
F = nn.functional
z = gd.placeholder("z", ("T", "N", 5))
y, long, wide = gd.placeholder("y", ("N", "S"), "int64"), gd.placeholder("long", ("N",), "int64"), gd.placeholder("wide", ("N",), "int64")


def inputs_of(case: Case) -> tuple[list[gd.Tensor], list[Array]]:
    """Placeholders of symbolic sizes, and arrays for them."""
    arrays = [case[name] for name in ("z", "targets", "input_lengths", "target_lengths")]
    shapes: list[tuple[Any, ...]] = [("T", "N", arrays[0].shape[2]), ("N", "S"), ("N",), ("N",)]
    return [gd.placeholder(f"x{k}", shape, array.dtype) for k, (shape, array) in enumerate(zip(shapes, arrays, strict=True))], arrays


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("name", CASES)
def test_equals_pytorch(name: str, backend: str, dtype: str) -> None:
    case = cast(CASES[name], dtype)
    given, arrays = inputs_of(case)
    logits, labels, *(steps, sizes) = given
    for reduction in ("mean", "sum", "none"):
        loss = F.ctc_loss(gd.log_softmax(logits, 2), labels, steps, sizes, blank=int(case["blank"]), reduction=reduction, zero_infinity=True)
        gradient = gd.grad(weighted(loss, case[reduction]), logits)
        found, by_z = gd.compile([loss, gradient], given, backend=backend)(*arrays)
        assert_near(found, case[reduction], dtype, reduction)
        assert_near(by_z, case[f"{reduction}|gradient"], dtype, reduction)
    infinite = gd.compile(nn.CTCLoss(int(case["blank"]), "none")(gd.log_softmax(logits, 2), labels, steps, sizes), given, backend=backend)
    np.testing.assert_allclose(infinite(*arrays), case["infinite"], rtol=1e-4)


def test_sums_over_all_ways() -> None:
    generator = np.random.default_rng(3)
    steps, classes, target = 4, 3, [1, 1]
    probabilities = generator.dirichlet(np.ones(classes), (steps, 1))
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        spelt = [label for label, _ in itertools.groupby(path) if label]
        total += float(np.prod([probabilities[t, 0, label] for t, label in enumerate(path)])) if spelt == target else 0.0
    program = gd.compile(F.ctc_loss(gd.placeholder("p", (steps, 1, classes), "float64"), y, long, wide, reduction="sum"))
    found = program(np.log(probabilities), np.array([target]), np.array([steps]), np.array([2]))
    np.testing.assert_allclose(found, -np.log(total), rtol=1e-12)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeRuleError, match=r"log_probs \(T, N, C\), got"):
        F.ctc_loss(z[0], y, long, wide)
    with pytest.raises(TypeRuleError, match=r"targets .* must be integers"):
        F.ctc_loss(z, y.astype("float32"), long, wide)
    with pytest.raises(ShapeError, match=r"lengths .* need 1 axes"):
        F.ctc_loss(z, y, y, wide)
    program = gd.compile(F.ctc_loss(z, y, long, wide), [z, y, long, wide])
    with pytest.raises(IndexOutOfRangeError, match="size 5"):
        program(np.zeros((3, 1, 5), "f"), np.array([[7]]), np.array([3]), np.array([1]))
    with pytest.raises(IndexOutOfRangeError, match="take_along_axis"):
        program(np.zeros((3, 1, 5), "f"), np.array([[1]]), np.array([3]), np.array([2]))
    with pytest.raises(ShapeError, match=r"samples of the lengths .*: 3 and 2 cannot be equal"):
        F.ctc_loss(gd.zeros((4, 2, 5)), y, gd.zeros((3,), "int64"), wide)
