"""Loading: parameters, sizes, constants, external data, control flow, and errors that name the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import graphdl as gd
from graphdl.errors import FormatError, GraphdlError, ShapeError, TypeRuleError, UnsupportedOpError, ValueNeededError
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def info(name: str, *shape: int | str, kind: int = F) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def model(nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], **weights: Array) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node of names with spaces between; `_` is an input that is left out."""
    return helper.make_node(op, ["" if one == "_" else one for one in inputs.split()], outputs.split(), name=f"{op}_1", **attributes)


def linear() -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    w, b = generator.normal(size=(4, 3)).astype("f"), generator.normal(size=3).astype("f")
    return model([node("Gemm", "x w b", "h"), node("Relu", "h", "y")], [info("x", "batch size", 4)], [info("y", "batch size", 3)], w=w, b=b)


def test_an_imported_model_learns() -> None:
    loaded = gd.onnx.load(linear().SerializeToString())
    (x,), (y,) = loaded.inputs, loaded.outputs
    assert str(x.type) == "float32[batch_size, 4]"
    assert [name for name, _ in loaded.named_parameters()] == ["w", "b"]
    target = gd.placeholder("target", ("batch_size", 3))
    loss = gd.mean((y - target) ** 2.0)
    step = gd.compile(loss, inputs=[x, target], updates=gd.optim.SGD(lr=0.05).updates(loss, loaded.parameters()))
    given = np.random.default_rng(1).normal(size=(8, 4)).astype("f"), np.zeros((8, 3), "f")
    losses = [float(step(*given)) for _ in range(100)]
    assert losses[-1] < 0.5 * losses[0]


def test_statistics_of_batch_normalisation_are_not_learned() -> None:
    weights = {name: np.full(3, value, "f") for name, value in {"scale": 2.0, "bias": 1.0, "mean": 0.5, "variance": 4.0}.items()}
    batch = node("BatchNormalization", "x scale bias mean variance", "y")
    loaded = gd.onnx.load(model([batch], [info("x", "n", 3)], [info("y", "n", 3)], **weights))
    (y,) = loaded.outputs
    gradients = dict(zip(weights, gd.compile(gd.grad((y * y).sum(), loaded.parameters()), inputs=loaded.inputs)(np.ones((4, 3), "f")), strict=True))
    assert gradients["scale"].any()
    assert not gradients["mean"].any()
    assert not gradients["variance"].any()
    assert gd.lint(y) == []


def test_state_comes_and_goes_by_name(tmp_path: Path) -> None:
    one, other = gd.onnx.load(linear()), gd.onnx.load(linear())
    one.parameters()[0].value = np.zeros((4, 3), "f")
    gd.save(one, tmp_path / "state.safetensors")
    gd.load(other, tmp_path / "state.safetensors")
    assert not other.parameters()[0].value.any()


def test_nodes_tell_where_they_come_from() -> None:
    loaded = gd.onnx.load(linear())
    assert "Relu_1" in {path for one in loaded.graph.nodes for path in one.provenance.modules}


def test_shape_arithmetic_stays_symbolic() -> None:
    """x (N, T, 4) -> (N * T, 4) -> (N, T, 4), by sizes computed in the graph."""
    nodes = [
        node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0), node("Gather", "s one", "t", axis=0), node("Mul", "n t", "nt"),
        node("Unsqueeze", "nt axis", "nt1"), node("Concat", "nt1 four", "flat", axis=0), node("Reshape", "x flat", "h"), node("Reshape", "h s", "y"),
    ]  # fmt: skip
    ints = {"zero": np.array(0), "one": np.array(1), "axis": np.array([0]), "four": np.array([-1])}
    loaded = gd.onnx.load(model(nodes, [info("x", "N", "T", 4)], [info("h", "M", 4), info("y", "N", "T", 4)], **ints))
    assert [str(one.type) for one in loaded.outputs] == ["float32[N*T, 4]", "float32[N, T, 4]"]


@pytest.mark.parametrize(("sizes", "taken"), [((1, 2, 12, 8), 0), ((1, 2, 9, 8), 1)], ids=["multiple", "uneven"])
def test_resizing_to_sizes_computes_no_places_at_a_call(sizes: tuple[int, ...], taken: int) -> None:
    """To a multiple elements are repeated; else they are taken from places that are numbers by then."""
    resize = node("Resize", "x _ _ sizes", "y", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    loaded = gd.onnx.load(model([resize], [info("x", 1, 2, 6, 4)], [info("y", *sizes)], sizes=np.array(sizes)))
    f = gd.compile(loaded.outputs[0], inputs=loaded.inputs, passes=["fold", "canonicalise"])
    names = [one.op.name for one in f.graph.nodes]
    assert sum(name == "take" for name in names) == taken, names
    assert not {"floor", "divide", "iota"} & set(names), names
    x = np.arange(48.0, dtype="f").reshape(1, 2, 6, 4)
    rows, columns = (np.arange(size) * old // size for size, old in zip(sizes[2:], (6, 4), strict=True))
    np.testing.assert_array_equal(f(x), x[:, :, rows][:, :, :, columns])


def test_constants_decide_branches() -> None:
    branches = [helper.make_graph([node(op, "x", "r")], op, [], [info("r", "N")]) for op in ("Neg", "Abs")]
    proto = model([node("If", "c", "y", then_branch=branches[0], else_branch=branches[1])], [info("x", "N"), info("c", kind=B)], [info("y", "N")])
    free, fixed = gd.onnx.load(proto), gd.onnx.load(proto, constants={"c": True})
    assert [one.name for one in fixed.inputs] == ["x"]
    assert [one.node.op.name for one in (*free.outputs, *fixed.outputs)] == ["cond", "negative"]
    x = np.array([1, -2], "f")
    run = gd.compile(list(free.outputs), inputs=list(free.inputs))
    assert [run(x, np.array(c))[0].tolist() for c in (True, False)] == [[-1, 2], [1, 2]]


def test_a_size_that_follows_from_values_is_asked_for() -> None:
    proto = model([node("Reshape", "x s", "y")], [info("x", 6), info("s", 2, kind=I)], [info("y", "a", "b")])
    with pytest.raises(ValueNeededError, match=r"Reshape \(opset 18\) at node 'Reshape_1': the shape depends on 's'") as caught:
        gd.onnx.load(proto)
    assert caught.value.names == ("s",)
    assert gd.onnx.load(proto, constants={"s": np.array([2, 3])}).outputs[0].shape == (2, 3)


def test_loops_become_scan_and_while() -> None:
    body = helper.make_graph(
        [node("Add", "h x", "h2"), node("Identity", "going", "still"), node("Neg", "h2", "out")], "body",
        [info("k", kind=I), info("going", kind=B), info("h", 3)], [info("still", kind=B), info("h2", 3), info("out", 3)],
    )  # fmt: skip
    proto = model(
        [node("Loop", "count _ start", "last all", body=body)], [info("x", 3), info("start", 3)], [info("last", 3), info("all", 5, 3)], count=np.array(5)
    )
    loaded = gd.onnx.load(proto)
    assert loaded.outputs[0].node.op.name == "scan"
    x, start = np.array([1, 2, 3], "f"), np.zeros(3, "f")
    last, every = gd.compile(list(loaded.outputs), inputs=list(loaded.inputs))(x, start)
    assert_close(last, 5 * x)
    assert_close(every, -np.arange(1, 6)[:, None] * x)


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/hostname", "folder/../../weights.bin", ""])
def test_external_data_outside_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    (tmp_path / "model").mkdir()
    with pytest.raises(FormatError, match="outside"):
        gd.onnx.load(external(tmp_path / "model", location=place))


def test_a_link_to_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(FormatError, match="outside"):
        gd.onnx.load(external(tmp_path / "model"))


@pytest.mark.parametrize(("offset", "length"), [("8", "8"), ("0", "8"), ("-4", "16"), ("999999999999999999999999", "16"), ("60", "16")])
def test_external_data_is_bounded(offset: str, length: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    with pytest.raises(FormatError):
        gd.onnx.load(external(tmp_path, offset=offset, length=length))


def test_external_data_is_read(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(8) + np.arange(4, dtype="<f4").tobytes())
    path = external(tmp_path, offset="8", length="16")
    assert gd.onnx.load(path).parameters()[0].value.tolist() == [0, 1, 2, 3]
    with pytest.raises(FormatError, match="by its path"):
        gd.onnx.load(path.read_bytes())


def external(folder: Path, location: str = "weights.bin", **entries: str) -> Path:
    """A model whose weight (4) lies in a file of its own."""
    proto = model([node("Add", "x w", "y")], [info("x", 4)], [info("y", 4)], w=np.zeros(4, "f"))
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=value)
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    return folder / "m.onnx"


def test_a_tensor_must_hold_what_it_says() -> None:
    proto = linear()
    proto.graph.initializer[0].dims[0] = 10**12
    with pytest.raises(FormatError, match="holds 48"):
        gd.onnx.load(proto)


@pytest.mark.parametrize(
    ("proto", "error", "told"),
    [
        (model([node("Frobnicate", "x", "y")], [info("x", 2)], [info("y", 2)]), UnsupportedOpError, r"Frobnicate \(ai.onnx, opset 18\) at node 'Frobnicate_1'"),
        (model([node("Add", "x z", "y")], [info("x", 2)], [info("y", 2)]), FormatError, "'z' is no input"),
        (model([node("MatMul", "x v", "y")], [info("x", 2, 3), info("v", 2, 3)], [info("y", 2)]), ShapeError, r"MatMul \(opset 18\) at node 'MatMul_1'"),
        (model([node("Concat", "x", "y")], [info("x", 2)], [info("y", 2)]), FormatError, "the attribute 'axis' is missing"),
        (model([node("Relu", "s", "y")], [info("s", 2, kind=TensorProto.STRING)], [info("y", 2)]), FormatError, "element type string"),
        (model([node("Clip", "x x x x x", "y")], [info("x", 2)], [info("y", 2)]), FormatError, "not as its op's definition"),
    ],
)
def test_errors_name_the_node(proto: onnx.ModelProto, error: type[GraphdlError], told: str) -> None:
    with pytest.raises(error, match=told):
        gd.onnx.load(proto)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(TypeRuleError, match="no input named 'q'"):
        gd.onnx.load(linear(), constants={"q": 1})
    with pytest.raises(ShapeError, match="2 axes, 1 are given"):
        gd.onnx.load(linear(), shapes={"x": (4,)})


def test_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for source in (tmp_path / "text", b"", b"\xff\xff\xff"):
        with pytest.raises(FormatError, match="no ONNX model"):
            gd.onnx.load(source)


def test_half_weights_compute_in_half() -> None:
    proto = model(
        [node("Cast", "x", "h", to=TensorProto.FLOAT16), node("MatMul", "h w", "y")], [info("x", 2, 3)], [info("y", 2, 2)], w=np.eye(3, 2).astype("e")
    )
    loaded = gd.onnx.load(proto)
    assert loaded.outputs[0].dtype == loaded.parameters()[0].dtype == "float16"


def test_local_functions() -> None:
    body = [node("Constant", "", "c", value_float=2.0), node("Mul", "a c", "b")]
    for one in body:
        one.ClearField("name")
    body[0].ClearField("input")
    twice = helper.make_function("own", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    graph = helper.make_graph([helper.make_node("Twice", ["x"], ["y"], domain="own")], "g", [info("x", 2)], [info("y", 2)])
    proto = helper.make_model(graph, functions=[twice], opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("own", 1)], ir_version=9)
    loaded = gd.onnx.load(proto)
    assert gd.compile(list(loaded.outputs))(np.array([1, 2], "f"))[0].tolist() == [2, 4]
