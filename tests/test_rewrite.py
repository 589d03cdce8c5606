"""The engine under the passes: rebuilding, fixed points, patterns, and what nodes keep of their origin."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import graphdl as gd
from graphdl.errors import CompileError
from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.rewrite import Rule, RuleTable, functions, map_nodes, numbers, replace, rewrite, variables

exp, log, add = functions("exp log add")
x, y = variables("x y")


def doubled(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """exp(x) -> x + x"""
    return (operands[0] + operands[0],) if node.op.name == "exp" else None


def test_replace_changes_every_use_at_once() -> None:
    a, b = gd.placeholder("a", (3,)), gd.placeholder("b", (3,))
    graph = replace(Graph([gd.exp(a) + b, a], [a, b]), {a: b, b: a})
    assert str(graph) == str(Graph([gd.exp(b) + a, b], [a, b]))


def test_replace_takes_values_as_they_are() -> None:
    a = gd.placeholder("a", (3,))
    assert str(replace(Graph(gd.exp(a)), {a: a + 1.0})) == str(Graph(gd.exp(a + 1.0)))


def test_replace_refuses_another_type() -> None:
    a, b = gd.placeholder("a", (3,)), gd.placeholder("b", (4,))
    with pytest.raises(CompileError, match="types differ"):
        replace(Graph(gd.exp(a)), {a: b})


def test_what_does_not_change_stays_the_same_object() -> None:
    a, b = gd.placeholder("a", (3,)), gd.placeholder("b", (3,))
    kept = gd.log(b)
    graph = Graph([gd.exp(a) * kept, kept])
    found = map_nodes(graph, doubled)
    assert found.outputs[1] is kept
    assert kept.node in found.nodes
    assert map_nodes(found, doubled) is found


def test_results_of_another_type_are_not_taken() -> None:
    a = gd.placeholder("a", (3,))
    graph = Graph(gd.exp(a))
    assert map_nodes(graph, lambda node, operands: (gd.ones((4,)),) if operands else None) is graph
    assert rewrite(graph, lambda node, operands: (gd.ones((4,)),) if operands else None, "test") is graph


def test_rebuilt_nodes_know_where_they_come_from() -> None:
    a = gd.placeholder("a", (3,))
    changed, above = gd.exp(a), gd.log(gd.exp(a))
    found = map_nodes(Graph(above), doubled, "doubling").outputs[0]
    assert found.node.provenance.sources == above.node.provenance.sources
    assert "doubling" in found.node.provenance.passes
    assert not found.node.provenance.is_derived
    assert changed.node.provenance.sources <= found.node.operands[0].node.provenance.sources


def test_cotangents_stay_known() -> None:
    a = gd.placeholder("a", (3,))
    slope = gd.grad((gd.exp(a) * 1.0).sum(), a)
    one, two = variables("one two")
    found = rewrite(Graph(slope), RuleTable([Rule("swap", one * two, add(two, one))]).apply, "test").outputs[0]
    assert {by for _, _, by in slope.node.provenance.cotangents} <= {by for _, _, by in found.node.provenance.cotangents}


def test_rewriting_reaches_what_it_made() -> None:
    a = gd.placeholder("a", (3,))
    rules = RuleTable([Rule("unlog", log(x), exp(exp(x))), Rule("unexp", exp(x), x + x)])
    assert str(rewrite(Graph(gd.log(a)), rules.apply, "test")) == str(Graph((a + a) + (a + a)))


def test_circles_are_told() -> None:
    a = gd.placeholder("a", (3,))
    rules = RuleTable([Rule("there", exp(x), log(x)), Rule("back", log(x), exp(x))])
    with pytest.raises(CompileError, match=r"circles.*test_rewrite.py"):
        rewrite(Graph(gd.exp(a)), rules.apply, "test")


def test_patterns_of_commutative_ops_match_in_both_orders() -> None:
    a, b = gd.placeholder("a", (3,)), gd.placeholder("b", (3,))
    rules = RuleTable([Rule("factor", (x * y) + x, x * (y + 1))])
    for written in ((a * b) + a, (b * a) + a, a + (a * b), a + (b * a)):
        assert str(rewrite(Graph(written, [a, b]), rules.apply, "test")) == str(Graph(a * (b + 1.0), [a, b]))


def test_patterns_tell_zeros_and_numbers_apart() -> None:
    a = gd.placeholder("a", (3,))
    (c,) = numbers("c")
    zero = RuleTable([Rule("zero", x + 0, x)])
    assert zero.apply((a + 0.0).node, (a + 0.0).node.operands) == (a,)
    assert zero.apply((a + -0.0).node, (a + -0.0).node.operands) is None
    number = RuleTable([Rule("number", x * c, c + x)])
    assert number.apply((a * a).node, (a, a)) is None
    assert number.apply((a * 3.0).node, (a * 3.0).node.operands) is not None


def test_numbers_that_overflow_are_left() -> None:
    a = gd.placeholder("a", (3,))
    c, d = numbers("c d")
    rules = RuleTable([Rule("product", (x * c) * d, x * (c * d))])
    with derived("test"):
        small, large = (a * 2.0) * 3.0, (a * 1e30) * 1e30
    assert rules.apply(small.node, small.node.operands) is not None
    assert rules.apply(large.node, large.node.operands) is None
