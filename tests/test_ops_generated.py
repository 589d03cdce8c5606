"""Tests made from every op's samples: type rule, gradients, second derivatives, symbolic sizes and lowering."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl.constraints import collect
from graphdl.errors import GraphdlError
from graphdl.formula import Name
from graphdl.ir import Tensor, make_node
from graphdl.op import REGISTRY, Op, Sample
from graphdl.sizes import evaluate as evaluate_size
from graphdl.sizes import symbol
from graphdl.types import TensorType, is_floating
from tests.kernel_interpreter import interpret_lowering
from tests.reference import directional, run
from tests.tolerances import DERIVATIVE_IDENTITY, FINITE_DIFFERENCES, assert_close

Array = np.ndarray[Any, Any]


def cases() -> Iterator[Any]:
    for name, kind in sorted(REGISTRY.items()):
        for k, sample in enumerate(kind.samples()):
            yield pytest.param(sample, id=f"{name}-{k}")


SAMPLES = list(cases())
each_sample = pytest.mark.parametrize("sample", SAMPLES)


def type_of(array: Array) -> TensorType:
    return TensorType(array.dtype.name, array.shape)


def declare(sample: Sample) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    inputs = [gd.placeholder(f"x{k}", array.shape, array.dtype) for k, array in enumerate(sample.operands)]
    return inputs, make_node(sample.op, inputs).outputs


def results(op: Op, operands: Sequence[Array]) -> tuple[Array, ...]:
    result = op.evaluate(*operands)
    return result if isinstance(result, tuple) else (result,)


def differentiated(sample: Sample) -> list[int]:
    """The positions of operands whose gradient is checked."""
    floating = [k for k, array in enumerate(sample.operands) if array.dtype == np.float64]
    return floating if sample.differentiable is None else [k for k in floating if k in sample.differentiable]


def random_like(array: Array, seed: int) -> Array:
    return np.asarray(np.random.default_rng(seed).uniform(-1, 1, array.shape), array.dtype)


def test_every_op_with_operands_has_samples() -> None:
    without = [name for name, kind in REGISTRY.items() if not list(kind.samples())]
    assert set(without) <= {"placeholder", "parameter", "derivative", "custom_gradient", "fusion", "scan", "cond", "while"}, without


@each_sample
def test_type_rule_agrees_with_evaluation(sample: Sample) -> None:
    _, outputs = declare(sample)
    arrays = results(sample.op, sample.operands)
    assert [str(type_of(array)) for array in arrays] == [str(tensor.type) for tensor in outputs]


def floating_sample(sample: Sample) -> bool:
    return bool(differentiated(sample)) and all(is_floating(tensor.dtype) for tensor in declare(sample)[1])


DIFFERENTIABLE = [case for case in SAMPLES if floating_sample(case.values[0])]
each_differentiable = pytest.mark.parametrize("sample", DIFFERENTIABLE)


class Pulled:
    """A sample with its gradient graph, in random directions."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.chosen = differentiated(sample)
        self.inputs, outputs = declare(sample)
        self.output = outputs[0]
        self.targets = [self.inputs[k] for k in self.chosen]
        (value, *_) = results(sample.op, sample.operands)
        self.weight = random_like(value, 1)
        self.seed = gd.placeholder("seed", value.shape, value.dtype)
        self.gradients = gd.vjp(self.output, self.targets, self.seed)
        self.directions = [random_like(sample.operands[k], 2 + k) for k in self.chosen]
        self.given = {**dict(zip(self.inputs, sample.operands, strict=True)), self.seed: self.weight}

    def spread(self, directions: Sequence[Array]) -> list[Array | None]:
        """A direction for every operand, None for those that are not differentiated."""
        known = dict(zip(self.chosen, directions, strict=True))
        return [known.get(k) for k in range(len(self.inputs))]

    def gradient_at(self, *operands: Array) -> list[Array]:
        return run(self.gradients, {**dict(zip(self.inputs, operands, strict=True)), self.seed: self.weight})


@each_differentiable
def test_gradient_agrees_with_finite_differences(sample: Sample) -> None:
    pulled = Pulled(sample)
    for gradient, target, k in zip(run(pulled.gradients, pulled.given), pulled.targets, pulled.chosen, strict=True):
        assert gradient.shape == target.shape
        for place in list(np.ndindex(gradient.shape))[:12]:
            unit = np.zeros_like(gradient)
            unit[place] = 1
            directions = [unit if j == k else None for j in range(len(pulled.inputs))]
            expected = directional(lambda *x: results(sample.op, x)[0], sample.operands, directions, pulled.weight)
            assert_close(gradient[place], expected, FINITE_DIFFERENCES, f"operand {k} at {place}")


@each_differentiable
def test_forward_mode_is_the_transpose_of_reverse_mode(sample: Sample) -> None:
    pulled = Pulled(sample)
    tangents = [gd.placeholder(f"t{k}", target.shape, target.dtype) for k, target in enumerate(pulled.targets)]
    pushed = gd.jvp(pulled.output, pulled.targets, tangents)
    given = {**pulled.given, **dict(zip(tangents, pulled.directions, strict=True))}
    (forward, *reverse) = run([*pushed, *pulled.gradients], given)
    expected = sum(float(np.sum(g * d)) for g, d in zip(reverse, pulled.directions, strict=True))
    assert_close(float(np.sum(forward * pulled.weight)), expected, DERIVATIVE_IDENTITY)


@each_differentiable
def test_second_derivative_agrees_with_finite_differences(sample: Sample) -> None:
    pulled = Pulled(sample)
    weights = [gd.constant(direction) for direction in pulled.directions]
    contracted = [(g * w).sum() for g, w in zip(pulled.gradients, weights, strict=True)]
    total = functools.reduce(operator.add, contracted)
    second = run(gd.grad(total, pulled.targets), pulled.given)
    others = [random_like(direction, 7) for direction in pulled.directions]
    expected = directional(
        lambda *x: np.asarray(sum(float(np.sum(g * w)) for g, w in zip(pulled.gradient_at(*x), pulled.directions, strict=True))),
        sample.operands, pulled.spread(others), np.asarray(1.0),
    )  # fmt: skip
    assert_close(sum(float(np.sum(h * d)) for h, d in zip(second, others, strict=True)), expected, FINITE_DIFFERENCES)


LOWERED = [case for case in SAMPLES if type(case.values[0].op).lower is not Op.lower]


@pytest.mark.parametrize("sample", LOWERED)
def test_lowering_agrees_with_evaluation(sample: Sample) -> None:
    _, outputs = declare(sample)
    found = interpret_lowering(sample.op, outputs[0].type, [type_of(x) for x in sample.operands], list(sample.operands), {})
    assert found.dtype.name == outputs[0].dtype
    assert_close(found, sample.op.evaluate(*sample.operands))


def symbolic_forms(sample: Sample) -> Iterator[tuple[Op, list[TensorType], dict[str, int]]]:
    """The sample with a leading size made a symbol wherever it leads an operand, and in the op's shapes or not."""
    shapes = {field.name: getattr(sample.op, field.name) for field in dataclasses.fields(sample.op) if field.name in ("shape", "sizes")}  # type: ignore[arg-type]
    leading = [shape[0] for shape in (*(x.shape for x in sample.operands[:1]), *shapes.values()) if shape]
    name = symbol("N")
    for size in dict.fromkeys(leading):
        types = [TensorType(x.dtype.name, tuple(name if k == 0 and n == size else n for k, n in enumerate(x.shape))) for x in sample.operands]
        changed = {field: (name, *shape[1:]) for field, shape in shapes.items() if shape and shape[0] == size}
        for attributes in ({}, changed):
            yield dataclasses.replace(sample.op, **attributes), types, {"N": size}  # type: ignore[type-var]


def accepted(sample: Sample) -> Iterator[tuple[Op, list[TensorType], TensorType, dict[str, int]]]:
    for op, types, sizes in symbolic_forms(sample):
        try:
            with collect() as constraints:
                inferred = op.infer(*types)
        except GraphdlError:
            continue
        symbolic = "N" in f"{inferred}{types}"
        if symbolic and isinstance(inferred, TensorType) and all(evaluate_size(a, sizes) == evaluate_size(b, sizes) for a, b, _ in constraints):
            yield op, types, inferred, sizes


SYMBOLIC = [case for case in SAMPLES if any(True for _ in accepted(case.values[0]))]


@pytest.mark.parametrize("sample", SYMBOLIC)
def test_symbolic_sizes_agree_with_numbers(sample: Sample) -> None:
    expected = sample.op.evaluate(*sample.operands)
    for op, types, inferred, sizes in accepted(sample):
        assert inferred.bind(sizes) == type_of(np.asarray(expected))
        assert_close(op.bind(sizes).evaluate(*sample.operands), expected)
        if type(op).lower is not Op.lower:
            assert_close(interpret_lowering(op, inferred, types, list(sample.operands), sizes), expected)


def test_all_ops_accept_symbolic_sizes() -> None:
    accepting = {case.values[0].op.name for case in SYMBOLIC}
    assert {case.values[0].op.name for case in SAMPLES} == accepting


@each_sample
def test_every_op_is_written_as_mathematics(sample: Sample) -> None:
    inputs, outputs = declare(sample)
    assert str(sample.op.formula(outputs[0].node, *(Name(tensor.name or "") for tensor in inputs)))
