"""Scan, cond and while: values and derivatives against unrolled graphs, in both backends, for any length."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl.errors import GradientError, IndexOutOfRangeError, ShapeError, TypeRuleError
from graphdl.ir import Tensor
from graphdl.types import numpy_dtype
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
EXACT = (1e-10, 1e-11)
PASSES = ("default", "none")
BATCH, INPUT, HIDDEN = 3, 4, 6


def arrays(*shapes: tuple[int, ...], seed: int = 0) -> list[Array]:
    generator = np.random.default_rng(seed)
    return [generator.uniform(-1, 1, shape) for shape in shapes]


def agree(graphs: Sequence[Sequence[Tensor]], inputs: Sequence[Tensor], given: Sequence[Array]) -> None:
    """Both graphs give the same: the first in every way of running it, to the bit for any number of threads."""
    outputs, expected = graphs
    wanted = gd.compile(expected, inputs=inputs, backend="numpy", passes="none")(*given)
    for passes in PASSES:
        native = [gd.compile(outputs, inputs=inputs, passes=passes, threads=threads)(*given) for threads in (1, 2)]
        plain = gd.compile(outputs, inputs=inputs, backend="numpy", passes=passes)(*given)
        for one, two, three, right in zip(*native, plain, wanted, strict=True):
            assert one.tobytes() == two.tobytes()
            assert_close(one, right, EXACT, f"native, passes {passes}")
            assert_close(three, right, EXACT, f"interpreter, passes {passes}")
    graph = gd.Graph(outputs, inputs).verify()
    assert "custom_gradient" in graph.text or gd.Graph.parse(graph.text) == graph  # rules given as functions have no text


class Cell:
    """A recurrent step with its weights."""

    def __init__(self, gates: int) -> None:
        u, w, b = arrays((INPUT, gates * HIDDEN), (HIDDEN, gates * HIDDEN), (gates * HIDDEN,), seed=gates)
        self.weights = [gd.parameter(u, "u"), gd.parameter(w, "w"), gd.parameter(b, "b")]

    def simple(self, h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        u, w, b = self.weights
        h = gd.tanh(x @ u + h @ w + b)
        return h, h

    def lstm(self, state: dict[str, Tensor], x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        u, w, b = self.weights
        gates = x @ u + state["h"] @ w + b
        i, f, g, o = gd.split(gates, 4, axis=-1)
        c = gd.sigmoid(f) * state["c"] + gd.sigmoid(i) * gd.tanh(g)
        h = gd.sigmoid(o) * gd.tanh(c)
        return {"h": h, "c": c}, h


def unrolled(fn: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Tensor, length: int, reverse: bool = False) -> tuple[Any, Tensor]:
    outputs: list[Any] = [None] * length
    for t in reversed(range(length)) if reverse else range(length):
        carry, outputs[t] = fn(carry, xs[t])
    return carry, gd.stack(outputs)


class Recurrence:
    """One of the cells over a sequence of symbolic length and unrolled, with a scalar loss of each."""

    def __init__(self, kind: str, length: int, reverse: bool = False) -> None:
        self.cell = Cell(4 if kind == "lstm" else 1)
        self.xs = gd.placeholder("xs", ("T", BATCH, INPUT), "float64")
        self.h = gd.placeholder("h", (BATCH, HIDDEN), "float64")
        self.inputs = [self.xs, self.h]
        self.wrt = [*self.cell.weights, self.h, self.xs]
        step: Any = getattr(self.cell, kind)
        init: Any = {"h": self.h, "c": gd.zeros((BATCH, HIDDEN), "float64")} if kind == "lstm" else self.h
        self.given = arrays((length, BATCH, INPUT), (BATCH, HIDDEN), seed=5)
        self.scanned = self.loss(*gd.scan(step, init, self.xs, reverse=reverse))
        self.unrolled = self.loss(*unrolled(step, init, self.xs, length, reverse))

    @staticmethod
    def loss(carry: Any, ys: Tensor) -> Tensor:
        last = carry["c"] if isinstance(carry, dict) else carry
        weight = gd.arange(HIDDEN).astype("float64")
        return (ys * ys * weight).sum() + gd.sin(last).sum()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("kind", ["simple", "lstm"])
def test_cells_against_unrolled_ones(kind: str, length: int, reverse: bool) -> None:
    case = Recurrence(kind, length, reverse)
    graphs = [[loss, *gd.grad(loss, case.wrt)] for loss in (case.scanned, case.unrolled)]
    agree(graphs, case.inputs, case.given)


@pytest.mark.parametrize("kind", ["simple", "lstm"])
def test_second_derivatives(kind: str) -> None:
    case = Recurrence(kind, 3)
    vectors = [gd.constant(array) for array in arrays(*((tuple(map(int, x.shape))) for x in case.wrt[:4]), seed=8)]
    products = [gd.hvp(loss, case.wrt[:4], vectors) for loss in (case.scanned, case.unrolled)]
    agree(products, case.inputs, case.given)
    twice = []
    for loss in (case.scanned, case.unrolled):
        first = gd.grad(loss, case.wrt[:4])
        total = gd.constant(0.0, "float64")
        for g, v in zip(first, vectors, strict=True):
            total = total + (g * v).sum()
        twice.append(gd.grad(total, case.wrt))
    agree(twice, case.inputs, case.given)


def test_gradients_of_parts_of_weights_are_products_after_the_loop() -> None:
    w, h, xs = (gd.placeholder(name, shape, "float64") for name, shape in (("w", (6, 3)), ("h", (2, 3)), ("xs", (4, 2, 3))))

    def step(held: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        following = gd.tanh(x + held @ w[:3] + (held * x) @ gd.transpose(w[3:]))
        return following, following

    def loss(ys: Tensor) -> Tensor:
        return (ys * ys).sum()

    scanned, unrolled_ys = gd.scan(step, h, xs)[1], unrolled(step, h, xs, 4, False)[1]
    graphs = [gd.grad(loss(ys), [w, h, xs]) for ys in (scanned, unrolled_ys)]
    agree(graphs, [w, h, xs], arrays((6, 3), (2, 3), (4, 2, 3)))
    backward = [node for node in gd.Graph(graphs[0]).nodes if node.op.name == "scan"][-1]
    assert all(output.shape[-2:] == (2, 3) for output in backward.outputs), "no sum of the shape of w is carried"


def test_forward_mode() -> None:
    case = Recurrence("lstm", 4)
    tangents = [gd.constant(array) for array in arrays((HIDDEN, 4 * HIDDEN), (BATCH, HIDDEN))]
    wrt = [case.cell.weights[1], case.h]
    agree([gd.jvp(loss, wrt, tangents) for loss in (case.scanned, case.unrolled)], case.inputs, case.given)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_no_steps(backend: str) -> None:
    case = Recurrence("simple", 1)
    carry, ys = gd.scan(case.cell.simple, case.h, case.xs)
    gradients = gd.grad(case.scanned, case.wrt)
    f = gd.compile([carry, ys, *gradients], inputs=case.inputs, backend=backend)
    h = case.given[1]
    last, stacked, *found = f(np.zeros((0, BATCH, INPUT)), h)
    assert_close(last, h)
    assert stacked.shape == (0, BATCH, HIDDEN)
    assert all((one == 0).all() for one in found[:3])
    assert_close(found[3], np.cos(h))


def test_one_program_serves_all_lengths() -> None:
    case = Recurrence("lstm", 1)
    f = gd.compile([case.scanned, *gd.grad(case.scanned, case.wrt)], inputs=case.inputs)
    plain = gd.compile([case.scanned, *gd.grad(case.scanned, case.wrt)], inputs=case.inputs, backend="numpy", passes="none")
    for length in (2, 1, 7):
        given = [*arrays((length, BATCH, INPUT), seed=length), case.given[1]]
        for one, other in zip(f(*given), plain(*given), strict=True):
            assert_close(one, other, EXACT)


def test_code_does_not_grow_with_the_length() -> None:
    def text(length: int) -> str:
        cell = Cell(4)
        xs = gd.placeholder("xs", (length, BATCH, INPUT), "float64")
        zero = gd.zeros((BATCH, HIDDEN), "float64")
        _, ys = gd.scan(cell.lstm, {"h": zero, "c": zero}, xs)
        found = gd.compile(gd.grad(ys.sum(), cell.weights), inputs=[xs]).llvm_ir()
        return re.sub(r"\d+", "0", found)

    assert text(16) == text(1024)


def test_carries_of_any_structure() -> None:
    x = gd.placeholder("x", ("T", 2), "float64")

    def step(carry: Any, element: Any) -> tuple[Any, Any]:
        (a, b), c = carry["ab"], carry["c"]
        u = element["u"]
        return {"ab": [b, a + u], "c": (c[0] * 2, None)}, (a, {"sum": (a + b + u).sum()}, None)

    zero = gd.zeros(2, "float64")
    init = {"ab": [zero, zero + 1], "c": (gd.constant(1.0, "float64"), None)}
    carry, (a, named, nothing) = gd.scan(step, init, {"u": x})
    assert nothing is None
    assert carry["c"][1] is None
    results = [*carry["ab"], carry["c"][0], a, named["sum"]]
    given = arrays((4, 2))
    p, q, expected_a, expected_sum = np.zeros(2), np.ones(2), [], []
    for u in given[0]:
        expected_a.append(p)
        expected_sum.append((p + q + u).sum())
        p, q = q, p + u
    for backend in ("native", "numpy"):
        found = gd.compile(results, inputs=[x], backend=backend)(*given)
        for one, other in zip(found, [p, q, 16.0, np.stack(expected_a), np.array(expected_sum)], strict=True):
            assert_close(one, other, EXACT)


def test_length_without_sequences() -> None:
    n = gd.placeholder("n", ("N",), "float64")
    last, powers = gd.scan(lambda c, _: (c * 2, c), gd.constant(1.0, "float64"), length=n.shape[0])
    for backend in ("native", "numpy"):
        found = gd.compile([last, powers], inputs=[n], backend=backend)(np.zeros(5))
        assert_close(found[0], 32.0)
        assert_close(found[1], np.array([1.0, 2, 4, 8, 16]))


def test_nested_scans() -> None:
    x = gd.placeholder("x", ("T", "S", 3), "float64")
    w = gd.parameter(arrays((3, 3))[0], "w")

    def inner(c: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        c = gd.tanh(c @ w + e)
        return c, c * e

    def outer(c: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        c, ys = gd.scan(inner, c, row)
        return c, ys.sum(0)

    zero = gd.zeros(3, "float64")
    last, sums = gd.scan(outer, zero, x)
    carry, rows = zero, []
    for t in range(2):
        parts = []
        for s in range(4):
            carry, y = inner(carry, x[t, s])
            parts.append(y)
        rows.append(gd.stack(parts).sum(0))
    pairs = [((a * a).sum() + b.sum(), [a, b]) for a, b in ((last, sums), (carry, gd.stack(rows)))]
    graphs = [[*tensors, *gd.grad(loss, [w, x])] for loss, tensors in pairs]
    agree(graphs, [x], arrays((2, 4, 3)))


def test_gather_and_updates_inside() -> None:
    table = gd.parameter(arrays((5, 3))[0], "table")
    tokens = gd.placeholder("tokens", ("T",), "int64")
    counts = gd.zeros((5, 3), "float64")

    def step(state: tuple[Tensor, Tensor], token: Tensor) -> tuple[Any, Tensor]:
        h, seen = state
        row = gd.take(table, token, 0)
        seen = gd.scatter_add(seen, token.reshape((1,)), (h * row).reshape((1, 3)))
        return (gd.tanh(h + row), seen), seen.sum()

    init = (gd.ones(3, "float64"), counts)
    given = np.array([1, 4, -1, 1])
    (h, seen), ys = gd.scan(step, init, tokens)
    state: Any = init
    rows = []
    for t in range(4):
        state, y = step(state, tokens[t])
        rows.append(y)
    pairs = [(h, seen, ys), (*state, gd.stack(rows))]
    graphs = [[a, b, c, gd.grad((a * a).sum() + b.sum() + (c * c).sum(), table)] for a, b, c in pairs]
    agree(graphs, [tokens], [given])
    for backend in ("native", "numpy"):
        f = gd.compile([h, ys], inputs=[tokens], backend=backend)
        with pytest.raises(IndexOutOfRangeError, match=r"out of (range|bounds)"):
            f(np.array([0, 5, 1]))


def test_random_numbers_are_new_in_every_step() -> None:
    xs = gd.placeholder("xs", ("T", 64), "float64")

    def step(total: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        kept = gd.dropout(x, 0.5)
        return total + kept, kept

    total, ys = gd.scan(step, gd.zeros(64, "float64"), xs)
    gradient = gd.grad(total.sum(), xs)
    given = np.ones((6, 64))
    gd.random.seed(3)
    native = gd.compile([total, ys, gradient], inputs=[xs])(given)
    gd.random.seed(3)
    plain = gd.compile([total, ys, gradient], inputs=[xs], backend="numpy", passes="none")(given)
    for one, other in zip(native, plain, strict=True):
        assert_close(one, other, EXACT)
    assert len({row.tobytes() for row in native[1]}) == 6
    assert_close(native[2], native[1])
    quiet = gd.compile([total, ys], inputs=[xs], mode="inference")(given)
    assert (quiet[1] == 1).all()


def test_checkpoint_inside() -> None:
    case = Recurrence("simple", 4)

    def step(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        h = gd.checkpoint(lambda a, b: case.cell.simple(a, b)[0], h, x)
        return h, h

    loss = case.loss(*gd.scan(step, case.h, case.xs))
    agree([[end, *gd.grad(end, case.wrt)] for end in (loss, case.unrolled)], case.inputs, case.given)


def test_custom_gradients_inside() -> None:
    x = gd.placeholder("x", (3,), "float64")

    def scaled(by: float) -> Tensor:
        rule = gd.custom_gradient(lambda c: (c * 1, lambda cotangent: [cotangent * by]))
        last, _ = gd.scan(lambda c, e: (rule(c) + e, None), gd.constant(0.0, "float64"), x)
        return gd.grad(last, x)

    first, second = gd.compile([scaled(2.0), scaled(3.0)], inputs=[x])(np.zeros(3))
    assert_close(first, np.array([4.0, 2, 1]))
    assert_close(second, np.array([9.0, 3, 1]))


def test_cond_both_ways() -> None:
    p = gd.placeholder("p", (), "bool")
    x, y = gd.placeholder("x", (3, "N"), "float64"), gd.placeholder("y", (3, "N"), "float64")
    w = gd.parameter(arrays((3, 3))[0], "w")

    def then(a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {"r": gd.tanh(w @ a) * b, "s": a.sum()}

    def otherwise(a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {"r": b, "s": (a * a).sum()}

    chosen = gd.cond(p, then, otherwise, x, y)
    for holds, branch in ((True, then), (False, otherwise)):
        expected = branch(x, y)
        graphs = []
        for result in (chosen, expected):
            loss = (result["r"] * result["r"]).sum() + gd.sin(result["s"])
            first = gd.grad(loss, [w, x, y])
            second = gd.grad((first[1] * first[1]).sum(), [x, y])
            pushed = gd.jvp(loss, [w, x], [gd.ones_like(w), gd.ones_like(x)])
            graphs.append([result["r"], result["s"], *first, *second, *pushed])
        agree(graphs, [p, x, y], [np.array(holds), *arrays((3, 2), (3, 2), seed=2)])


def test_cond_computes_one_side_only() -> None:
    p, k = gd.placeholder("p", (), "bool"), gd.placeholder("k", (), "int64")
    table = gd.parameter(np.arange(3.0), "table")
    result = gd.cond(p, lambda: gd.take(table, k, 0), lambda: gd.constant(-1.0, "float64"))
    f = gd.compile(result, inputs=[p, k])
    assert f(np.array(True), np.array(2)) == 2
    assert f(np.array(False), np.array(9)) == -1
    with pytest.raises(IndexOutOfRangeError):
        f(np.array(True), np.array(9))


def test_cond_in_a_scan() -> None:
    x = gd.placeholder("x", ("T",), "float64")
    w = gd.parameter(np.array(0.7), "w")

    def step(c: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        c = gd.cond(e > 0, lambda c: gd.tanh(c * w + e), lambda c: c * e, c)
        return c, c

    last, ys = gd.scan(step, gd.constant(1.0, "float64"), x)
    given = np.array([0.5, -0.3, 0.2, -0.9])
    c, rows = gd.constant(1.0, "float64"), []
    for t, e in enumerate(given):
        c = gd.tanh(c * w + x[t]) if e > 0 else c * x[t]
        rows.append(c)
    graphs = [[a, b, *gd.grad(a * a + (b * b).sum(), [w, x])] for a, b in ((last, ys), (c, gd.stack(rows)))]
    agree(graphs, [x], [given])


def test_while_loop() -> None:
    limit, start = gd.placeholder("limit", (), "float64"), gd.placeholder("start", (2,), "float64")

    def doubled(max_length: int | None = None) -> Any:
        return gd.while_loop(lambda s: s["x"].sum() < limit, lambda s: {"x": s["x"] * 2, "n": s["n"] + 1}, {"x": start, "n": gd.constant(0)}, max_length)

    free, bounded = doubled(), doubled(20)
    tangent = gd.ones_like(start)
    outputs = [free["x"], free["n"], bounded["x"], bounded["n"], gd.grad(bounded["x"].sum(), start), *gd.jvp(free["x"], start, tangent)]
    for backend in ("native", "numpy"):
        f = gd.compile(outputs, inputs=[limit, start], backend=backend)
        for top, steps in ((20.0, 3), (0.0, 0), (1e3, 9)):
            found = f(np.array(top), np.array([1.0, 2.0]))
            factor = 2.0**steps
            expected = [np.array([1.0, 2]) * factor, np.array(steps)] * 2 + [np.full(2, factor)] * 2
            for one, other in zip(found, expected, strict=True):
                assert_close(one, other, EXACT)
    with pytest.raises(GradientError, match="max_length"):
        gd.grad(free["x"].sum(), start)


def test_updates_of_parameters_after_a_loop() -> None:
    x = gd.placeholder("x", ("T", 2), "float64")
    state = gd.parameter(np.ones(2), "state")
    last, ys = gd.scan(lambda c, e: (c + e, c), state, x)
    f = gd.compile(ys, inputs=[x], updates={state: last})
    f(np.ones((3, 2)))
    assert state.value.tolist() == [4, 4]
    assert_close(f(np.ones((1, 2))), np.full((1, 2), 4.0))


def test_passes_run_in_bodies() -> None:
    case = Recurrence("lstm", 2)
    f = gd.compile(gd.grad(case.scanned, case.cell.weights), inputs=case.inputs)
    bodies = [node.op.body for node in f.graph.nodes if node.op.name == "scan"]
    assert len(bodies) == 2  # forward and back: both forward loops are one
    assert all(any(node.op.name == "fusion" for node in body.nodes) for body in bodies)
    assert sum(node.op.name == "scan" for node in f.source.nodes) == 3


def test_weights_are_packed_once() -> None:
    w = gd.parameter(np.zeros((256, 256), "f"), "w")
    xs = gd.placeholder("xs", ("T", 64, 256))
    _, ys = gd.scan(lambda h, x: (gd.tanh(x + h @ w),) * 2, gd.zeros((64, 256)), xs)
    f = gd.compile(ys, inputs=[xs])
    packs = [kernel for kernel in f.kernels if "pack for" in kernel.name]
    assert all("T" not in str(kernel.tasks) for kernel in packs), str(f.kernels)


def test_body_nodes_know_their_lines() -> None:
    xs = gd.placeholder("xs", ("T", 3), "float64")

    def step(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        h = gd.tanh(h + x)
        return h, h

    _, ys = gd.scan(step, gd.zeros(3, "float64"), xs)
    (gradient,) = gd.vjp(ys, xs, gd.ones_like(ys))
    line = step.__code__.co_firstlineno + 1
    for node in (ys.node, gradient.node):
        inner = [one for one in node.op.body.nodes if one.op.name == ("tanh" if node is ys.node else "multiply")]
        assert inner
        assert all(line in {source.line for source in one.provenance.sources} for one in inner)


def test_errors_say_what_and_where() -> None:
    x = gd.placeholder("x", ("T", 3), "float64")
    zero = gd.zeros(3, "float64")
    with pytest.raises(TypeRuleError, match=r"carry\['h'\] goes in as float64\[3\].*returns float32\[3\].*astype"):
        gd.scan(lambda c, e: ({"h": c["h"].astype("float32")}, None), {"h": zero}, x)
    with pytest.raises(ShapeError, match=r"carry goes in as float64\[3\].*returns float64\[4\]"):
        gd.scan(lambda c, e: (gd.zeros(4, "float64"), None), zero, x)
    with pytest.raises(TypeRuleError, match="must keep its structure"):
        gd.scan(lambda c, e: ((c, c), None), zero, x)
    with pytest.raises(TypeRuleError, match=r"pair \(carry, y\)"):
        gd.scan(lambda c, e: c, zero, x)
    with pytest.raises(ShapeError, match="give the length"):
        gd.scan(lambda c, e: (c, None), zero)
    with pytest.raises(ShapeError, match="does not agree"):
        gd.scan(lambda c, e: (c, None), zero, [gd.zeros((2, 3)), gd.zeros((4, 3))])
    with pytest.raises(ShapeError, match="no leading axis"):
        gd.scan(lambda c, e: (c, None), zero, gd.zeros(()))
    with pytest.raises(TypeRuleError, match=r"gd\.where"):
        gd.cond(x[0] > 0, lambda: zero, lambda: zero)
    with pytest.raises(TypeRuleError, match="from the second"):
        gd.cond(x[0, 0] > 0, lambda: zero, lambda: zero.astype("float32"))
    with pytest.raises(TypeRuleError, match="same structure"):
        gd.cond(x[0, 0] > 0, lambda: zero, lambda: (zero,))
    with pytest.raises(TypeRuleError, match="scalar bool"):
        gd.while_loop(lambda c: c, lambda c: c, zero)


def test_narrow_weights_of_a_loop_collect_their_gradient_widely() -> None:
    """Cotangents of 16-bit weights are summed over the steps before they are rounded."""
    w = gd.parameter(np.eye(3).astype(numpy_dtype("bfloat16")), "w")
    xs = gd.placeholder("xs", (400, 2, 3))
    _, ys = gd.scan(lambda h, x: (h, x @ w.astype("float32")), gd.zeros((1,)), xs)
    given = np.full((400, 2, 3), 1 / 3, "f")
    (found,) = gd.compile([gd.grad(ys.sum(), w)], [xs])(given)
    np.testing.assert_array_equal(found.astype("f"), np.full((3, 3), 800 / 3).astype(numpy_dtype("bfloat16")).astype("f"))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 6])
def test_values_of_carries_before_and_after_each_step(length: int, reverse: bool) -> None:
    """Stacked together, also where carries change places, follow one another or stay."""
    x = gd.placeholder("x", ("T", 3))
    first = [gd.placeholder(name, (3,)) for name in "abcd"]

    def step(state: Any, element: Any) -> Any:
        a, b, c, d = state
        following = a * 0.5 + element
        return (following, following, d, c), (a, b, c, d, following, d * 1.0, a)

    carry, seen = gd.scan(step, tuple(first), x, reverse=reverse)
    outputs = [*carry, *seen, seen[0] + seen[4], (seen[0] * seen[1]).sum()]
    arrays = [np.random.default_rng(k).standard_normal((3,), np.float32) for k in range(4)]
    rows = np.random.default_rng(9).standard_normal((length, 3), np.float32)
    expected = gd.compile(outputs, [x, *first], backend="numpy")(rows, *arrays)
    for found, wanted in zip(gd.compile(outputs, [x, *first])(rows, *arrays), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
