"""The graph language: equal nodes are one, nothing loses its origin, and order and text are determined."""

from __future__ import annotations

import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import graphdl as gd
from graphdl import errors
from graphdl.ir import Graph, Node, Tensor, derived, make_node, module_scope
from graphdl.ir.printer import print_graph
from graphdl.sizes import symbol

HERE = Path(__file__).name


def small() -> tuple[Tensor, Tensor, Tensor]:
    x = gd.placeholder("x", ("N", 4))
    w = gd.parameter(np.ones((4, 3), "f"), "w")
    return x, w, (x @ w).relu().sum()


def test_equal_applications_are_one_node() -> None:
    x, w, _ = small()
    assert (x @ w) is (x @ w)
    assert gd.full((2,), 1.5) is gd.full((2,), 1.5)
    assert (x @ w) is not (gd.placeholder("x", ("N", 4)) @ w)


def test_zeros_of_either_sign_are_two_nodes() -> None:
    positive, negative = gd.full((2,), 0.0), gd.full((2,), -0.0)
    assert positive is not negative
    assert "value=-0.0" in str(Graph(negative))


def test_a_node_knows_its_line_and_module() -> None:
    x = gd.placeholder("x", ("N",))
    with module_scope("encoder"), module_scope("0"):
        y = x.exp()
    assert y.node.provenance.modules == {"encoder.0"}
    assert [Path(source.file).name for source in y.node.provenance.sources] == [HERE]


def test_provenance_merges_when_a_node_is_made_again() -> None:
    x = gd.placeholder("x", ("N",))
    with module_scope("a"):
        y = x.exp()
    with module_scope("b"):
        again = x.exp()
    assert again is y
    assert y.node.provenance.modules == {"a", "b"}
    assert len(y.node.provenance.sources) == 2


def test_derived_nodes_inherit_lines_and_modules() -> None:
    x = gd.placeholder("x", ("N",))
    with module_scope("a"):
        y = x.exp()
    with derived("rule", [y.node]):
        z = y + x
    known = z.node.provenance
    assert (known.rules, known.origins, known.modules, known.is_derived) == ({"rule"}, {y.node}, {"a"}, True)
    assert known.sources == y.node.provenance.sources
    assert (y + x) is z
    assert not known.is_derived


def test_gradients_tell_their_forward_node() -> None:
    x, w, loss = small()
    gradient = gd.grad(loss, w)
    assert isinstance(gradient, Tensor)
    assert gradient.node.provenance.origins == {(x @ w).node}
    assert (0, loss, w) in gradient.node.provenance.cotangents


def test_text_is_the_same_in_every_process() -> None:
    code = "from tests.test_ir import small; import graphdl as gd; x, w, l = small(); print(gd.Graph([l, gd.grad(l, w)]))"
    root = Path(__file__).parents[1]
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=True
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    _, w, loss = small()
    assert runs[0].stdout.strip() == str(Graph([loss, *gd.grad(loss, [w])]))


def test_depth_is_no_matter() -> None:
    x = gd.placeholder("x", ("N",))
    y = x
    for _ in range(10_000):
        y = y.tanh()
    graph = Graph([y.sum(), *gd.grad(y.sum(), [x])])
    assert len(graph.nodes) > 40_000
    graph.verify()
    assert str(graph).count("tanh(") == 10_000
    graph.to_dot()


@pytest.mark.parametrize(("value", "dtype"), [(-1, "uint8"), (256, "uint8"), (2**31, "int32"), (math.nan, "int64"), (math.inf, "int8")])
def test_numbers_that_a_dtype_does_not_hold(value: float, dtype: str) -> None:
    x = gd.placeholder("x", (2,), dtype)
    with pytest.raises(errors.TypeRuleError, match=rf"full: {value} is no {dtype}, which holds .*; cast"):
        gd.full((2,), value, dtype)
    if isinstance(value, int):
        with pytest.raises(errors.TypeRuleError, match=f"is no {dtype}"):
            _ = x + value


def test_numbers_are_cast_as_arrays_are() -> None:
    for value in (300, -1, 2**40 + 5):
        cast = gd.full((2,), value, "int64").astype("uint8")
        np.testing.assert_array_equal(gd.compile(cast, [])(), np.array([value] * 2).astype("uint8"))


def test_errors_name_op_types_and_lines() -> None:
    x = gd.placeholder("x", ("N", 4))
    w = gd.placeholder("w", (5, 3))
    with pytest.raises(errors.ShapeError) as caught:
        _ = x @ w
    message = str(caught.value)
    assert message.startswith("matmul")
    assert all(text in message for text in ("float32[N, 4]", "float32[5, 3]", f"({HERE}:", f"at {HERE}:", "'x'", "'w'"))


def test_names_are_unique_and_safe() -> None:
    labels = ["x", "x", "0.weight", "7", "odd name", 'quote"\\', "", "é"]
    graph = Graph(sum((gd.placeholder(label or " ", ()) for label in labels), gd.placeholder("first", ())))
    text = str(graph)
    header = text.splitlines()[0]
    assert '%x: float32[], %x_1("x"): float32[], %0.weight: float32[], %"7": float32[], %"odd name": float32[]' in header
    assert str(Graph.parse(text)) == text


def test_provenance_comments() -> None:
    _, w, loss = small()
    text = print_graph(Graph(gd.grad(loss, [w])), provenance=True)
    assert f"  // {HERE}:" in text
    assert "rule matmul" in text
    assert Graph.parse(text) == Graph(gd.grad(loss, [w]))


def test_networkx() -> None:
    _, w, loss = small()
    made = Graph(gd.grad(loss, [w])).to_networkx()
    assert made.nodes["w"]["op"] == "parameter"
    assert made.nodes["w"]["label"] == "w"
    products = [name for name, data in made.nodes(data=True) if data["op"] == "matmul"]
    assert [[data["position"] for *_, data in made.in_edges(name, data=True)] for name in products] == [[0, 1], [0, 1]]
    assert [made.nodes[name]["rules"] for name in products] == [(), ("matmul",)]


def test_dot_is_escaped() -> None:
    x = gd.placeholder('a"b\\<c>\n', ("N",))
    with module_scope('m"'):
        y = x.exp()
    text = Graph(y).to_dot()
    assert r'label="a\"b\\<c>\n\nfloat32[N]"' in text
    assert r'label="m\""' in text
    assert text.count("{") == text.count("}")


def _swap(change: Callable[[Graph], None]) -> Graph:
    x = gd.placeholder("x", ("N",))
    graph = Graph((x + 1.0).exp())
    change(graph)
    return graph


def _reverse(graph: Graph) -> None:
    graph.nodes = graph.nodes[::-1]


def _forget_input(graph: Graph) -> None:
    graph.inputs = ()


def _repeat_label(graph: Graph) -> None:
    graph.inputs = (*graph.inputs, gd.placeholder("x", ()))


def _retype(graph: Graph) -> None:
    graph.outputs[0].type = graph.outputs[0].type.with_shape((symbol("M"),))


def _orphan(graph: Graph) -> None:
    graph.outputs[0].node.provenance.sources = frozenset()


def _computed_input(graph: Graph) -> None:
    graph.inputs = (*graph.inputs, graph.outputs[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_reverse, "not defined before"),
        (_forget_input, "not among the graph's inputs"),
        (_repeat_label, "two inputs have the label 'x'"),
        (_retype, "its type rule gives"),
        (_orphan, "neither a line"),
        (_computed_input, "but it is computed"),
    ],
)
def test_the_verifier_refuses(change: Callable[[Graph], None], message: str) -> None:
    graph = _swap(change)
    with pytest.raises(errors.VerificationError, match=message):
        graph.verify()


def test_the_verifier_names_node_and_line() -> None:
    with pytest.raises(errors.VerificationError, match=rf"exp : float32\[M\] \({HERE}:\d+\)"):
        _swap(_retype).verify()


def test_a_good_graph_is_given_back() -> None:
    _, w, loss = small()
    graph = Graph([loss, *gd.grad(loss, [w])])
    assert graph.verify() is graph


def test_derivations_draw_as_well_formed_mathml() -> None:
    _, w, loss = small()
    (gradient,) = gd.grad(loss, [w])
    ElementTree.fromstring(gd.explain(gradient)._repr_html_())


def test_nodes_show_their_type() -> None:
    x, w, _ = small()
    node: Node = make_node((x @ w).node.op, [x, w])
    assert repr(node) == "<matmul : float32[N, 3]>"
