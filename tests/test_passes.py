"""Every pass by itself, all but one, all and none give the same numbers; what each does to an example is a golden text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.ir import Graph, Tensor
from graphdl.ops.attention import Attention
from graphdl.ops.random_bits import RandomState
from graphdl.ops.source import arange
from graphdl.pipeline import PASSES, run_passes, selected
from tests.conftest import Golden
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
Program = tuple[list[Tensor], dict[Tensor, Array]]
SAME_PROGRAM = (2e-5, 2e-6)  # float32, in another order of summation or with another rounding of constants

NAMES = sorted({one.name for mode in ("train", "inference") for one in selected("default", mode)})


def array(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# -- programs -------------------------------------------------------------------------------------------------------------


def perceptron() -> Program:
    x, y = gd.placeholder("x", ("N", 6)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    for k, parameter in enumerate(net.parameters()):
        parameter.value = array(*parameter.value.shape, seed=k)
    loss = nn.functional.cross_entropy(net(x), y)
    new_values = optim.Adam(lr=1e-2, weight_decay=0.1).updates(loss, net.parameters()).values()
    return [loss, *new_values], {x: array(7, 6), y: np.arange(7) % 3}


def softmax() -> Program:
    x, w = gd.placeholder("x", ("N", 4)), gd.placeholder("w", ("N", 4))
    probability = gd.exp(x - x.max(axis=1, keepdims=True)) / gd.exp(x - x.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)
    loss = -(w * gd.log(gd.softmax(x * 2.0 * 0.5))).sum() + (probability**2).sum()
    return [loss, *gd.grad(loss, [x, w])], {x: array(5, 4), w: array(5, 4, seed=1)}


def reductions() -> Program:
    x, b = gd.placeholder("x", (3, 4, 5)), gd.placeholder("b", (5,))
    y = gd.exp(b.broadcast_to((3, 4, 5))) + 0.0
    z = gd.transpose(x.reshape((12, 5))).sum(axis=1) + x.sum(axis=0).sum(axis=0) + x.var(axis=(0, 1))
    outputs = [y.sum(axis=0), y.max(axis=(0, 1)), z, gd.broadcast_to(x.sum(), (2, 3)).sum(axis=0), x.std(axis=2, keepdims=True) * x]
    loss = outputs[0].sum() + outputs[1].sum() + outputs[2].sum() + outputs[3].sum() + outputs[4].sum()
    return [*outputs, *gd.grad(loss, [x, b])], {x: array(3, 4, 5), b: array(5)}


def indexing() -> Program:
    table, rows = gd.placeholder("table", (9, 4)), gd.placeholder("rows", ("N",), "int64")
    taken = gd.take(table, rows, 0)
    chosen = gd.where(~(rows < 4), rows, rows * 0)
    y = gd.concatenate([taken, taken[:, ::-1] * 1.0], axis=1)[:, 1:7].reshape((-1, 2, 3)).tanh()
    loss = (y * y).sum() + gd.one_hot(chosen, 9).sum()
    return [y, chosen, loss, gd.grad(loss, table)], {table: array(9, 4), rows: np.array([3, 8, 0, 3])}


def stacks() -> Program:
    x, w, v = gd.placeholder("x", ("B", 3, 4)), gd.placeholder("w", (4, 5)), gd.placeholder("v", (1, 5))
    h = gd.matmul(x, w.broadcast_to(("B", 4, 5))) + v
    scores = gd.matmul(h, gd.swapaxes(h, 1, 2)) / 2.0
    mixed = gd.matmul(gd.softmax(scores), h).relu().reshape((-1, 5)) * gd.sigmoid(v)
    outer = gd.matmul(gd.transpose(v), v)
    loss = (gd.transpose(mixed).tanh() ** 2).sum() + gd.transpose(gd.matmul(w, outer)).sum()
    return [mixed, loss, *gd.grad(loss, [x, w, v])], {x: array(2, 3, 4), w: array(4, 5), v: array(1, 5)}


def heads() -> Program:
    x, w = gd.placeholder("x", ("B", 5, 12)), gd.placeholder("w", (12, 7))
    q = gd.transpose(gd.reshape(x, ("B", 5, 3, 4)), (0, 2, 1, 3))
    mixed = gd.matmul(gd.softmax(gd.matmul(q, gd.swapaxes(q, 2, 3))), q)
    together = gd.reshape(gd.transpose(mixed, (0, 2, 1, 3)), ("B", 5, 12)) @ w
    loss = (together.tanh() ** 2).sum() + (mixed * gd.softmax(mixed)).sum()
    return [mixed, loss, *gd.grad(loss, [x, w])], {x: array(2, 5, 12), w: array(12, 7)}


def constants() -> Program:
    x = gd.placeholder("x", (2, 3))
    table = gd.constant(array(2, 3))
    known = gd.exp(table) @ gd.constant(array(3, 3)) + gd.full((2, 3), 2.0) * gd.full((2, 3), 3.0)
    y = x * known / 4.0 - 1.5 + gd.log(1 + gd.exp(-x)) + 1 / gd.sqrt(x * x + 1)
    return [y, gd.grad(y.sum(), x), known], {x: array(2, 3)}


def images() -> Program:
    x = gd.placeholder("x", ("N", 2, 9, 8))
    weights = [gd.placeholder(f"w{k}", shape) for k, shape in enumerate([(8, 2, 3, 3), (8, 4, 2, 3), (8, 1, 3, 3), (8, 3, 3, 2)])]
    y = nn.functional.conv2d(x, weights[0], padding=1).tanh()
    y = nn.functional.conv2d(y, weights[1], stride=2, padding=(0, 1), groups=2).relu()
    y = nn.functional.conv_transpose2d(nn.functional.conv2d(y, weights[2], padding=2, dilation=2, groups=8), weights[3], stride=(2, 1), padding=1)
    loss = (nn.functional.max_pool2d(y, 2) ** 2).sum() + nn.functional.avg_pool2d(y, 3, 2).sum()
    given = {x: array(2, 2, 9, 8), **{w: array(*map(int, w.shape), seed=k) / 4 for k, w in enumerate(weights)}}
    return [loss, *gd.grad(loss, list(given))], given


PROGRAMS: list[Callable[[], Program]] = [images, perceptron, softmax, reductions, indexing, stacks, heads, constants]
SELECTIONS: dict[str, str | Sequence[str]] = {
    "default": "default",
    **{f"only-{name}": [name] for name in NAMES},
    **{f"without-{name}": [other for other in NAMES if other != name] for name in NAMES},
}


@pytest.mark.parametrize("passes", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_results_do_not_depend_on_passes(program: Callable[[], Program], passes: str | Sequence[str]) -> None:
    outputs, given = program()
    expected = gd.compile(outputs, list(given), backend="numpy", passes="none")(*given.values())
    found = gd.compile(outputs, list(given), backend="numpy", passes=passes)(*given.values())
    for k, (left, right) in enumerate(zip(found, expected, strict=True)):
        assert_close(left, right, SAME_PROGRAM, f"output {k}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_result_is_a_valid_graph(program: Callable[[], Program]) -> None:
    outputs, given = program()
    graph, record = run_passes(Graph(outputs, list(given)), selected("default", "train"), verify=True)
    assert graph.inputs == Graph(outputs, list(given)).inputs or all(a is b for a, b in zip(graph.inputs, given, strict=True))
    assert [change.name for change in record.changes] == [one.name for one in selected("default", "train")]
    for node in graph.nodes:
        assert node.provenance.sources, f"{node} lost its line"


@pytest.mark.parametrize("program", PROGRAMS)
def test_passes_settle(program: Callable[[], Program]) -> None:
    """What the simplifying passes made, they leave as it is."""
    outputs, given = program()
    passes = [one for one in selected("default", "train") if one.phase == "simplify"]
    once, _ = run_passes(Graph(outputs, list(given)), passes)
    twice, _ = run_passes(once, passes)
    assert len(twice.nodes) <= len(once.nodes)
    thrice, _ = run_passes(twice, passes)
    assert str(thrice) == str(twice)


def test_inference_has_no_dropout() -> None:
    x = gd.placeholder("x", (3, 4))
    y = nn.functional.dropout(gd.relu(x), 0.5) * 2.0
    for passes in ("default", "none"):
        f = gd.compile(y, [x], backend="numpy", mode="inference", passes=passes)
        assert not [node for node in f.graph.nodes if node.op.name in ("dropout", "random_bits")]
        assert_close(f(array(3, 4)), np.maximum(array(3, 4), 0) * 2)


# -- golden texts ---------------------------------------------------------------------------------------------------------


def specialise_example() -> list[Tensor]:
    x = gd.placeholder("x", (2, 3))
    return [gd.dropout(gd.relu(x), 0.5, RandomState())]


def canonicalise_example() -> list[Tensor]:
    x, b = gd.placeholder("x", ("N", 6)), gd.placeholder("b", (6,))
    row = b.broadcast_to(("N", 6)).reshape(("N", 2, 3))
    return [2 * x.reshape(("N", 2, 3)).reshape((-1, 3, 2)), gd.transpose(gd.transpose(x)), row, gd.where(x > 0, x, x)]


def fold_example() -> list[Tensor]:
    x = gd.placeholder("x", ("N", 2))
    return [x * (gd.full(("N", 2), 2.0) * gd.full(("N", 2), 3.0)), gd.exp(gd.constant([0.0, 1.0]))]


def algebra_example() -> list[Tensor]:
    x, y = gd.placeholder("x", ("N", 3)), gd.placeholder("y", ("N", 3))
    return [gd.log(gd.softmax(x * 1.0)), (x * 2.0) * 3.0 / 4.0 + -y, (x - 1.0) ** 2]


def motion_example() -> list[Tensor]:
    x, b = gd.placeholder("x", ("N", 2, 3)), gd.placeholder("b", (3,))
    return [gd.exp(b.broadcast_to(("N", 3))), gd.relu(x.reshape((-1, 3)) + b), gd.tanh(gd.transpose(x)) * 2.0]


def contraction_example() -> list[Tensor]:
    x, w, v = gd.placeholder("x", ("B", 3, 4)), gd.placeholder("w", (4, 5)), gd.placeholder("v", (1, 5))
    return [gd.transpose(gd.matmul(gd.transpose(w), w)), gd.matmul(x, w.broadcast_to(("B", 4, 5))), gd.matmul(gd.transpose(v), v)]


def reductions_example() -> list[Tensor]:
    x = gd.placeholder("x", ("N", 6))
    return [x.reshape(("N", 2, 3)).sum(axis=(1, 2)), x.sum().broadcast_to((3,)).sum(), gd.transpose(x).max(axis=0), x.sum(axis=0).sum(axis=0)]


def joining_example() -> list[Tensor]:
    x, w = gd.placeholder("x", ("N", 6)), gd.placeholder("w", (3,))
    y = gd.tanh(x[:, 0:2].sum(axis=1)) + (x[:, 2:5] * w).sum(axis=1) + x[:, 5:].sum(axis=1)
    return gd.grad(y.sum(), [x])


def narrow_example() -> list[gd.Tensor]:
    x, zero = gd.placeholder("x", ("N", 3, 4), "uint8"), gd.placeholder("zero", (), "uint8")
    turned = gd.transpose(x.astype("int32") - zero.astype("int32"), (1, 0, 2))
    return [turned @ gd.placeholder("w", (4, 5), "int8").astype("int32")]


def common_example() -> list[Tensor]:
    x, y = gd.placeholder("x", (3,)), gd.placeholder("y", (3,))
    return [gd.exp(x * y), gd.exp(y * x)]


def convolution_example() -> list[Tensor]:
    x, w = gd.placeholder("x", ("N", 4, 9, 9)), gd.placeholder("w", (8, 4, 3, 3))
    y = nn.functional.conv2d(x, w, stride=2, padding=1)
    return [y, *gd.grad(y.sum(), [x, w])]


def pooling_example() -> list[Tensor]:
    x = gd.placeholder("x", ("N", 4, 8))
    return gd.grad(nn.functional.max_pool1d(x, 3, 2, 1).sum(), [x])


def separable_example() -> list[Tensor]:
    x = gd.placeholder("x", ("N", 4, 16, "W"))
    return [nn.functional.max_pool2d(x, 7, 1, 3), nn.functional.max_pool2d(x, 3, 1, 1), nn.functional.max_pool2d(x, 7, 7)]


def expand_example() -> list[Tensor]:
    q, k, v = (gd.placeholder(name, (1, 2, 3, 4)) for name in "qkv")
    return [Attention(False, 0.5, False)(q, k, v)]


def attention_example() -> list[Tensor]:
    q, k, v = (gd.placeholder(name, ("N", 2, 300, 4)) for name in "qkv")
    return [Attention(True, 0.5)(q, k, v)]


def regions_example() -> list[Tensor]:
    x = gd.placeholder("x", ("T", 3))
    w = gd.parameter(np.ones(3), "w")
    _, ys = gd.scan(lambda h, e: (gd.tanh(h * w + e),) * 2, gd.zeros(3, "float64"), x.astype("float64"))
    return [ys, *gd.grad(ys.sum(), [w])]


EXAMPLES: dict[str, Callable[[], list[Tensor]]] = {
    "specialise": specialise_example,
    "regions": regions_example,
    "convolution": convolution_example,
    "pooling": pooling_example,
    "separable": separable_example,
    "attention": attention_example,
    "expand": expand_example,
    "canonicalise": canonicalise_example,
    "fold": fold_example,
    "algebra": algebra_example,
    "motion": motion_example,
    "contraction": contraction_example,
    "reductions": reductions_example,
    "joining": joining_example,
    "narrow": narrow_example,
    "common": common_example,
    "settle": canonicalise_example,
}


def test_every_pass_has_an_example() -> None:
    assert set(EXAMPLES) == {name for name in NAMES if PASSES[name].phase not in ("fuse", "plan")}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, golden: Golden) -> None:
    graph = Graph(EXAMPLES[name]())
    result, record = run_passes(graph, [PASSES[name]()], verify=True)
    assert record.changes[0].fired
    golden(f"passes/{name}", f"{graph}\n\n{result}")


def test_merged_siblings_stay_readers_of_what_no_kernel_computes() -> None:
    """The scatter reads one sibling and is read by another one that was merged before: the third must stay apart."""
    x, at = gd.placeholder("x", ("N",)), gd.placeholder("at", ("N",), "int64")
    first = gd.exp(x)
    scattered = gd.scatter_add(gd.zeros_like(x), at, first)
    outputs = [gd.tanh(x) + scattered, gd.sin(x)]
    f = gd.compile(outputs, [x, at])
    values, places = array(7), np.array([0, 3, 3, 1, 6, 0, 5])
    for actual, wanted in zip(f(values, places), gd.compile(outputs, [x, at], backend="numpy")(values, places), strict=True):
        assert_close(actual, wanted, SAME_PROGRAM)


def test_siblings_that_read_in_other_orders_stay_apart() -> None:
    """A square array beside itself transposed: both at once would be one pass over memory in the wrong order."""
    x, y = gd.placeholder("x", (40, 40)), gd.placeholder("y", (40, 40))
    f = gd.compile([gd.exp(x) + y, gd.transpose(gd.tanh(x)), gd.cos(x)], [x, y])
    assert len(f.kernels) == 2
    given = array(40, 40), array(40, 40)
    for actual, wanted in zip(f(*given), gd.compile([gd.exp(x) + y, gd.transpose(gd.tanh(x)), gd.cos(x)], [x, y], backend="numpy")(*given), strict=True):
        assert_close(actual, wanted, SAME_PROGRAM)


# -- size and depth -------------------------------------------------------------------------------------------------------


def test_deep_graphs() -> None:
    x = gd.placeholder("x", (2,))
    y = x
    for _ in range(10_000):
        y = gd.tanh(y * 1.0) + 0.0
    started = time.perf_counter()
    graph, _ = run_passes(Graph(y), [one for one in selected("default", "train") if one.phase == "simplify"])
    assert len(graph.nodes) == 10_001
    assert time.perf_counter() - started < 60  # some 0.3 seconds; much more means that the cost is not linear


def test_products_widen_small_weights_but_compute_no_functions() -> None:
    x, table = gd.placeholder("x", ("N", 64)), gd.parameter(np.zeros((64, 48), "float16"), "table")
    widened = gd.compile(x @ (table.astype("float32") * 2), [x], mode="inference")
    assert not any(kernel.name.startswith("cast") and "matmul" not in kernel.name for kernel in widened.kernels), widened.kernels
    waves = gd.cos(gd.reshape(arange(64), (64, 1)).astype("float32") * arange(48).astype("float32"))
    computed = gd.compile(x @ waves, [x], mode="inference")
    assert sum("matmul" not in kernel.name for kernel in computed.kernels) == 1, computed.kernels


def test_products_are_written_in_the_order_in_which_they_are_read() -> None:
    (_, loss, *gradients), given = heads()
    kernels = [kernel.name for kernel in gd.compile([loss, *gradients], list(given)).kernels]
    assert not any(name.startswith("transpose") for name in kernels), kernels


def test_windows_do_not_read_through_a_turned_copy() -> None:
    """With channels last in memory, what a window needs several times is turned once; a kernel of one place reads where it lies."""
    x = gd.placeholder("x", ("N", 12, 40, 8))
    for side, turned in ((3, 1), (1, 0)):
        w = gd.parameter(np.ones((16, 8, side, side), "float32"), "w")
        y = nn.functional.conv2d(gd.transpose(x[:, :10], (0, 3, 1, 2)), w, padding=side // 2)
        kernels = [kernel.name for kernel in gd.compile(y, [x], mode="inference").kernels]
        assert sum("transpose" in name and "conv" not in name for name in kernels) == turned, kernels


def test_kernels_larger_than_their_results_are_products_of_many_columns() -> None:
    """However many samples there may turn out to be: one of them alone would fill one lane."""
    x, w = gd.placeholder("x", ("N", 1, 1024)), gd.parameter(np.ones((6, 1, 256), "float32"), "w")
    f = gd.compile(nn.functional.conv1d(x, w, stride=64), [x], mode="inference")
    assert any("matmul" in kernel.name for kernel in f.kernels), f.kernels
    assert not any("kernel_gradient" in kernel.name for kernel in f.kernels), f.kernels
