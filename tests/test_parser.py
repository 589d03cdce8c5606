"""What the printer writes is read back, for every op; anything else is a ParseError with its place."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

import graphdl as gd
from graphdl.errors import ParseError
from graphdl.ir import Graph, Tensor, make_node
from graphdl.op import REGISTRY, Array, Op, Sample
from graphdl.ops.fusion import Fusion
from graphdl.sizes import maximum, minimum, mod
from graphdl.types import dtype_name


def samples() -> Iterator[tuple[str, Sample]]:
    for name, kind in sorted(REGISTRY.items()):
        for k, sample in enumerate(kind.samples()):
            yield f"{name}-{k}", sample


def applied(op: Op, operands: tuple[Array, ...]) -> Graph:
    inputs = [gd.placeholder(f"x{k}", array.shape, dtype_name(array.dtype)) for k, array in enumerate(operands)]
    return Graph(make_node(op, inputs).outputs, inputs)


def reread(graph: Graph) -> Graph:
    text = str(graph)
    again = Graph.parse(text)
    assert str(again) == text
    assert again == graph
    return again


SAMPLES = dict(samples())


@pytest.mark.parametrize("name", SAMPLES)
def test_every_op_is_read_back(name: str) -> None:
    sample = SAMPLES[name]
    reread(applied(sample.op, sample.operands)).verify()


def network() -> Graph:
    x = gd.placeholder("x", ("N", 4))
    w = gd.parameter(np.ones((4, 3), "f"), "layer.weight")
    hidden = gd.gelu(x @ w)
    loss = (hidden[1:, ::2] * gd.constant(np.arange(2.0, dtype="f"))).sum() / 7.0
    return Graph([loss, *gd.grad(loss, [w, x])])


def test_a_network_with_its_gradient() -> None:
    graph = reread(network())
    assert "of=gelu{" in str(graph)
    assert [tensor.value.sum() for tensor in graph.parameters] == [0.0]


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-300, 0.1, float("inf"), float("-inf"), float("nan"), 1e22])
def test_floats(value: float) -> None:
    found = reread(Graph(gd.full((2,), value, "float64"))).outputs[0].node.op.value
    np.testing.assert_array_equal(np.signbit(found), np.signbit(value) if value == value else np.signbit(found))
    np.testing.assert_array_equal(found, value)


def sizes() -> list[Tensor]:
    n, m = gd.placeholder("x", ("N", "M")).shape
    inf, true = gd.placeholder("x", ("inf", "True")).shape
    found = [2 * n + 1, n // 2, (n + 1) // 2 * m, mod(n, m + 1), minimum(n, 3), maximum(n, m) + n * n, (n // 3) // m, inf, true * n + 1, -inf + n * n * m]
    return [gd.full((), size, "int64") for size in found]


def test_symbolic_sizes() -> None:
    reread(Graph(sizes()))
    shape = gd.placeholder("x", ("N",)).shape[0]
    reread(Graph(gd.placeholder("y", (2 * shape + 1, shape // 2, "None"))))


def test_several_results_and_regions() -> None:
    inner = gd.placeholder("a", ("N",))
    body = Graph([inner.exp(), inner.sum()], [inner])
    x = gd.placeholder("x", ("N",))
    node = make_node(Fusion(body), [x])
    graph = Graph([node.outputs[1] + 1.0, node.outputs[0]], [x])
    assert ":2 = fusion(%x) {body=graph(%a: float32[N]) {" in str(graph)
    assert "%0#1" in str(graph)
    reread(graph).verify()


def test_unused_and_reordered_inputs_are_kept() -> None:
    x, y, z = (gd.placeholder(name, ()) for name in "xyz")
    assert [tensor.name for tensor in reread(Graph(x - y, [z, y, x])).inputs] == ["z", "y", "x"]
    reread(Graph([]))


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", 1, "expected graph"),
        ("graph() {\n  return %1\n}", 2, "%1 is not defined"),
        ("graph(%x: float32[N]) {\n  %0 = exq(%x) : float32[N]\n  return %0\n}", 2, "no op 'exq'"),
        ("graph(%x: float32[N]) {\n  %0 = exp(%x) : float32[M]\n  return %0\n}", 2, r"gives float32\[N\], not float32\[M\]"),
        ("graph(%x: float32[N]) {\n  %0 = exp(%x, %x, %x) : float32[N]\n  return %0\n}", 2, "exp"),
        ("graph(%x: float32[N]) {\n  %0 = transpose(%x) {axes=7} : float32[N]\n  return %0\n}", 2, "transpose"),
        ("graph(%x: float32[N]) {\n  %0 = exp(%x) {a=1} : float32[N]\n  return %0\n}", 2, "exp"),
        ("graph(%x: float99[N]) {\n  return %x\n}", 1, "no dtype"),
        ("graph(%x: float32[N], %x: float32[N]) {\n  return %x\n}", 1, "defined already"),
        ("graph(%x: float32[N]) {\n  return %x#1\n}", 2, "results"),
        ("graph(%x: float32[N]) {\n  return %x\n} extra", 3, "expected end"),
        ("graph(%x: float32[" + "9" * 50 + "]) {\n  return %x\n}", 1, "digits"),
        ("graph(%x: float32[" + "(" * 5000 + "]) {\n  return %x\n}", 1, "deeper"),
        ("graph() {\n  %0 = full() {value=" + "(" * 9000, 2, "deeper"),
        ("graph() {\n  $\n}", 2, "begins nothing"),
        ('graph() {\n  %0 = constant() {dtype="float32", shape=(2,), state="AAAA"} : float32[2]\n  return %0\n}', 2, "constant"),
        ('graph() {\n  %0 = parameter() {label="w", dtype="float32", shape=(N,)} : float32[N]\n  return %0\n}', 2, "parameter"),
    ],
)
def test_errors_have_their_place(text: str, place: int, message: str) -> None:
    with pytest.raises(ParseError, match=rf"(?s)^line {place}, column \d+: .*{message}"):
        Graph.parse(text)


def test_mutated_text_raises_nothing_else() -> None:
    parts = [str(network()), str(Graph(sizes()))]
    text = "\n".join(parts)
    generator = random.Random(0)
    refused = 0
    for _ in range(1500):
        letters = list(generator.choice(parts))
        for _ in range(generator.randint(1, 3)):
            at = generator.randrange(len(letters))
            letters[at : at + generator.choice((0, 1, 1, 5))] = generator.choice((generator.choice(text), "", '"', "(", "-1", "0", "%9", "{", "//"))
        try:
            Graph.parse("".join(letters))
        except ParseError:
            refused += 1
    assert refused > 750
