"""ONNX's node tests on native code, and the list of what is covered."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.runner import Runner
from onnx.numpy_helper import to_array

from graphdl.errors import UnsupportedOpError
from graphdl.onnx import backend
from graphdl.onnx.coverage import coverage, missing_ops, newest_ops
from tests.onnx_cases import RANDOM, SHORT, cases

DOCUMENT = Path(__file__).parents[1] / "docs" / "onnx.md"
NAMES = [pytest.param(name, marks=[pytest.mark.xfail(reason=SHORT[name], strict=True)] if name in SHORT else []) for name in cases()]


def arrays(values: Any) -> list[Any]:
    return [to_array(value) if isinstance(value, onnx.TensorProto) else value for value in values]


@pytest.mark.parametrize("name", NAMES)
def test_node(name: str) -> None:
    case = cases()[name]
    prepared = backend.prepare(case.model)
    for inputs, expected in case.data_sets:
        found = prepared.run(arrays(inputs))
        if name in RANDOM:
            assert [(one.dtype, one.shape) for one in found] == [(one.dtype, one.shape) for one in arrays(expected)]
        else:
            Runner.assert_similar_outputs(arrays(expected), found, case.rtol, case.atol)


def test_at_least_95_percent_are_covered() -> None:
    assert len(cases()) > 1400
    assert {*RANDOM, *SHORT} <= set(cases())
    assert len(SHORT) <= 0.05 * len(cases())


def test_the_document_lists_what_is_covered(request: pytest.FixtureRequest) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, after = re.split(r"(?<=<!-- coverage -->\n)(.*)(?=<!-- end of coverage -->)", text, flags=re.DOTALL)
    told = f"{before}\n{coverage()}\n\n{after}"
    if request.config.getoption("--update-golden"):
        DOCUMENT.write_text(told, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == told, "the list is not that of the registry: run pytest --update-golden"


def test_few_ops_are_missing() -> None:
    assert len(missing_ops()) < 0.05 * len(newest_ops())


def test_missing_ops_are_named_before_anything_runs() -> None:
    node = onnx.helper.make_node("StringConcat", ["x", "y"], ["z"], name="joined")
    with pytest.raises(UnsupportedOpError, match=r"StringConcat \(ai.onnx, opset \d+\) at node 'joined'"):
        backend.run_node(node, [np.zeros(2, "f"), np.zeros(2, "f")])


def test_a_node_runs_alone() -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    (found,) = backend.run_node(node, [np.array([-1, 2], "f")])
    assert found.tolist() == [0, 2]


def test_devices() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")


def test_sizes_that_follow_from_values() -> None:
    """One prepared model serves other values and other shapes."""
    nodes = [onnx.helper.make_node("Tile", ["x", "n"], ["y"])]
    infos = [
        onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N"]),
        onnx.helper.make_tensor_value_info("n", onnx.TensorProto.INT64, [1]),
    ]
    graph = onnx.helper.make_graph(nodes, "g", infos, [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["M"])])
    prepared = backend.prepare(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9))
    for size, count in ((2, 3), (2, 1), (5, 2)):
        (found,) = prepared.run([np.arange(size, dtype="f"), np.array([count])])
        assert found.tolist() == list(range(size)) * count


def test_warnings_of_cases_stay_inside() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cases()
