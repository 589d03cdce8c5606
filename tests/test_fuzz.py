"""Random graphs on the native backend against their meaning, with all passes, with none, and with each one left out.

Rounding is told from error by experiment: a graph is evaluated in float64, and again with noise of some units in the last
place of its own dtypes in every result; an element may differ by a small multiple of what the noise does to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import graphdl as gd
from graphdl.ir import Graph, Node, Tensor
from graphdl.kernel.expression import Scalar
from graphdl.kernel.functions import TABLE
from graphdl.pipeline import selected
from graphdl.sizes import evaluate as size_of
from graphdl.types import TensorType
from tests.fuzz_graphs import RandomGraph, Sizes, random_graph
from tests.kernel_interpreter import interpret_lowering
from tests.tolerances import FUZZ_EPSILON, FUZZ_FACTOR, FUZZ_NOISE, FUZZ_TINY

Array = np.ndarray[Any, Any]
BATCH = 10  # graphs in one program
RUNS = 4  # noisy evaluations
EXACT = {"select", "negative", "abs", "sign", "share", "floor", "ceil", "round", "trunc", "minimum", "maximum", "cast"}  # functions that do not round


class Noise:
    """Uniform numbers in [-1, 1]; every second one of the runs has those of the run before, negated."""

    def __init__(self, run: int) -> None:
        self.generator = np.random.default_rng(run // 2)
        self.sign = 1 - run % 2 * 2

    def __call__(self, shape: tuple[int, ...]) -> Array:
        return self.sign * self.generator.uniform(-1, 1, shape)


def evaluate(graph: Graph, given: Mapping[Tensor, Array], sizes: Sizes, noise: Noise | None = None) -> dict[Tensor, Array]:
    """Every tensor's array, floating ones in float64, with noise if any."""
    values: dict[Tensor, Array] = {}
    for node in graph.nodes:
        if node.op.is_input:
            values[node.output] = wide(given[node.output])
            continue
        operands = [values[operand] for operand in node.operands]
        if noise is not None and is_formula(node):
            values[node.output] = disturbed(noisy_formula(node, operands, sizes, noise), node.output.dtype, noise)
            continue
        if noise is not None and is_sum(node):
            operands = [disturbed(array, operand.dtype, noise) for array, operand in zip(operands, node.operands, strict=True)]
        with np.errstate(all="ignore"):
            result = node.op.bind(sizes).evaluate(*operands)
        for tensor, array in zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=True):
            values[tensor] = disturbed(wide(array), tensor.dtype, noise) if noise is not None and is_rounded(node) else wide(array)
    return values


def wide(array: Any) -> Array:
    found = np.asarray(array)
    return found.astype("float64") if found.dtype.kind == "f" else found


def is_rounded(node: Node) -> bool:
    return node.op.pattern != "injective" and not node.op.is_view and bool(node.operands)


def is_formula(node: Node) -> bool:
    """Whether an op is a formula of several functions, in which terms may cancel."""
    composed = node.op.pattern == "row" or (node.op.pattern == "pointwise" and node.op.name not in TABLE)
    return composed and node.output.dtype in FUZZ_EPSILON and bool(node.operands)


def is_sum(node: Node) -> bool:
    """Whether terms may cancel in sums over axes."""
    return node.op.pattern in ("reduction", "contraction", "opaque")


def noisy_formula(node: Node, operands: Sequence[Array], sizes: Sizes, noise: Noise) -> Array:
    """What the op's lowering says, with noise in the result of every function in it."""
    op = node.op.bind(sizes)
    types = [TensorType(array.dtype.name, array.shape) for array in operands]
    out = op.infer(*types)
    assert isinstance(out, TensorType)

    def rounded(x: Scalar, array: Array) -> Array:
        return array if x.function in EXACT or x.dtype != "float64" else disturbed(array, node.output.dtype, noise)

    return interpret_lowering(op, out, types, operands, {}, rounded)


def disturbed(array: Array, dtype: str, noise: Noise) -> Array:
    if dtype not in FUZZ_EPSILON:
        return array
    strength = noise(array.shape)
    with np.errstate(all="ignore"):
        return np.where(array == 0, np.copysign(0.0, strength), array * (1 + FUZZ_NOISE * FUZZ_EPSILON[dtype] * strength))  # a zero may have either sign


def expectations(graph: RandomGraph, call: int) -> list[tuple[Array, Array]]:
    """The value of every output and by how much each element may differ; infinitely much where noise decides what is finite."""
    sizes, values = graph.sizes[call], graph.values[call]
    whole = Graph(graph.outputs)
    exact = evaluate(whole, values, sizes)
    noisy = [evaluate(whole, values, sizes, Noise(run)) for run in range(RUNS)]
    return [(exact[tensor], allowed(tensor.dtype, exact[tensor], [run[tensor] for run in noisy])) for tensor in graph.outputs]


def allowed(dtype: str, exact: Array, noisy: Sequence[Array]) -> Array:
    with np.errstate(all="ignore"):
        spread = np.max([np.abs(run.astype("float64") - exact.astype("float64")) for run in noisy], axis=0, initial=0)
        same = np.all([(run == exact) | ((run != run) & (exact != exact)) for run in noisy], axis=0)
        own = FUZZ_NOISE * FUZZ_EPSILON.get(dtype, 0) * np.abs(exact.astype("float64"))
        return np.where(same, np.where(np.isfinite(own), own, 0), np.where(np.isfinite(spread), FUZZ_FACTOR * spread + own, np.inf))


def wrong_places(actual: Array, expected: Array, tolerance: Array) -> Array:
    """Where an element is farther off than allowed."""
    a, b = actual.astype("float64"), expected.astype("float64")
    with np.errstate(all="ignore"):
        equal = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= tolerance + FUZZ_TINY.get(actual.dtype.name, 0.0))
    return np.argwhere(~equal & np.isfinite(tolerance))


def selections(number: int) -> dict[str, str | list[str]]:
    """All passes, none, and all but one of them, in turn."""
    names = sorted(one.name for one in selected("default", "train"))
    without = names[number % len(names)]
    return {"default": "default", "none": "none", f"without {without}": [name for name in names if name != without]}


def check(graphs: Sequence[RandomGraph], number: int) -> None:
    inputs = [tensor for graph in graphs for tensor in graph.inputs]
    outputs = [tensor for graph in graphs for tensor in graph.outputs]
    expected = [[expectations(graph, call) for graph in graphs] for call in (0, 1)]
    for what, passes in selections(number).items():
        program = gd.compile(outputs, inputs, passes=passes, threads=1 + number % 2)
        for call in (0, 1):
            sizes = {name: size for graph in graphs for name, size in graph.sizes[call].items()}
            assert all(size_of(a, sizes) == size_of(b, sizes) for (a, b, _), _ in program.graph.constraints), what  # passes assume nothing new
            found = iter(program(*(graph.values[call][tensor] for graph in graphs for tensor in graph.inputs)))
            for graph, wanted in zip(graphs, expected[call], strict=True):
                for position, (exact, tolerance) in enumerate(wanted):
                    actual = next(found)
                    assert actual.shape == exact.shape
                    wrong = wrong_places(actual, exact, tolerance)
                    assert not wrong.size, report(graph, call, what, position, [(at, actual[at], exact[at], tolerance[at]) for at in map(tuple, wrong[:5])])


def report(graph: RandomGraph, call: int, what: str, position: int, wrong: Sequence[tuple[Any, ...]]) -> str:
    lines = [f"at {at}: native {actual!r}, expected {exact!r}, off by {tolerance:.2g} at most" for at, actual, exact, tolerance in wrong]
    text = Graph(graph.outputs, graph.inputs).text
    return "\n".join([f"passes {what}, sizes {graph.sizes[call]}, output {position} of", text, *lines])


def test_random_graphs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, depth = (int(str(request.config.getoption(name))) for name in ("--fuzz-examples", "--fuzz-depth"))
    ignored: list[Any] = list(HealthCheck)
    monkeypatch.setenv("GRAPHDL_CACHE_DIR", str(tmp_path))  # kernels that several selections share are compiled once

    @settings(max_examples=-(-count // BATCH), derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=ignored)
    @given(st.integers(0, 2**32 - 1))
    def run(seed: int) -> None:
        chance = Random(seed)
        check([random_graph(chance, f"g{k}", depth) for k in range(BATCH)], seed)

    run()
