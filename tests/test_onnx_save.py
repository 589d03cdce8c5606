"""Graphs saved as ONNX models: each op's samples and whole networks, against ONNX Runtime and read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import CompileError, UnsupportedOpError
from graphdl.ir import Tensor, make_node
from graphdl.ir.node import REGISTRY
from graphdl.onnx.exporter import encode
from graphdl.onnx.writer import RULES, load_rules
from graphdl.op import Sample
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
# Another value at inference, by its nature.
TRAINING_ONLY = {"dropout", "by_mode"}
# ONNX Runtime has kernels for some dtypes only, and none for a loss of an empty batch and a Scan over no elements.
RUNTIME_LACKS = ("NOT_IMPLEMENTED", "Product cannot be 0", "dim0_offset < dim0_size")
# What only derivatives and passes are made of, and what ONNX has no nodes for.
NOT_WRITTEN = {
    "random_bits", "view", "flat_convolution", "spread_convolution", "kernel_gradient", "patches", "fusion", "window_argmax", "select_taps", "place_taps",
    "linear_recurrence",
}  # fmt: skip
OPS = sorted(name for name in REGISTRY if name not in NOT_WRITTEN | TRAINING_ONLY)


def session(proto: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(proto: onnx.ModelProto, **arrays: Array) -> list[Array]:
    made = session(proto)
    names = {one.name for one in made.get_inputs()}
    return [np.asarray(one) for one in made.run(None, {name: array for name, array in arrays.items() if name in names})]


def saved(sample: Sample, arrays: list[Array]) -> list[Array] | None:
    """What ONNX Runtime makes of a sample, or None where it has no kernel for these dtypes."""
    inputs = [gd.placeholder(f"x{k}", array.shape, array.dtype) for k, array in enumerate(arrays)]
    proto = encode(list(make_node(sample.op, inputs).outputs))
    try:
        return run(proto, **{f"x{k}": array for k, array in enumerate(arrays)})
    except Exception as error:  # ONNX Runtime's own classes
        if not any(reason in str(error) for reason in RUNTIME_LACKS):
            raise
        return None


@pytest.mark.parametrize("name", OPS)
def test_samples(name: str) -> None:
    for sample in REGISTRY[name].samples():
        if name == "convolution" and sample.operands[0].dtype.kind == "i":
            with pytest.raises(UnsupportedOpError, match="floating"):
                saved(sample, [np.asarray(one) for one in sample.operands])
            continue
        if getattr(sample.op, "dropout", 0):
            continue  # another value at inference
        arrays = [np.asarray(one) for one in sample.operands]
        found = saved(sample, arrays)
        if found is None:  # ONNX Runtime has few kernels for float64
            arrays = [one.astype("float32") if one.dtype == np.float64 else one for one in arrays]
            found = saved(sample, arrays)
        if found is None:
            continue
        expected = sample.op.evaluate(*arrays)
        for one, other in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
            assert_close(one, other, (1e-5, 1e-5) if one.dtype == np.float32 else (1e-9, 1e-9), name)


def test_every_op_is_written_or_listed() -> None:
    load_rules()
    assert set(REGISTRY) - set(RULES) == NOT_WRITTEN | (TRAINING_ONLY - set(RULES)) | {"placeholder", "attention"}


def vision() -> Tensor:
    x = gd.placeholder("x", ("N", 3, "H", "W"))
    body = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2), nn.ConvTranspose2d(4, 6, 2, stride=2), nn.GELU(),
        nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip
    return gd.log_softmax(body(x))


def sequences(kind: str) -> Callable[[], Tensor]:
    def build() -> Tensor:
        x = gd.placeholder("x", ("N", "T", 4))
        outputs, _ = getattr(nn, kind)(4, 3, num_layers=2, bidirectional=True, batch_first=True)(x)
        result: Tensor = outputs
        return result

    return build


def transformer() -> Tensor:
    x = gd.placeholder("x", ("N", "T", 8))
    result: Tensor = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)(x)
    return result


def control() -> Tensor:
    x = gd.placeholder("x", ("N", 4))
    count, total = gd.while_loop(lambda c: (c[0] < 5) & (gd.sum(c[1]) < 1e3), lambda c: (c[0] + 1, c[1] * 2 + x), (gd.full((), 0, "int64"), x))
    return gd.cond(gd.sum(total) > 0, lambda: total + count.astype("float32"), lambda: -total)


NETWORKS: dict[str, tuple[Callable[[], Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "vision": (vision, (2, 3, 16, 12), (1, 3, 24, 32)),
    "RNN": (sequences("RNN"), (2, 5, 4), (1, 1, 4)),
    "LSTM": (sequences("LSTM"), (2, 5, 4), (3, 7, 4)),
    "GRU": (sequences("GRU"), (2, 5, 4), (1, 2, 4)),
    "transformer": (transformer, (2, 5, 8), (1, 3, 8)),
    "control": (control, (2, 4), (1, 4)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, tmp_path: Path) -> None:
    """Symbolic sizes stay so: one file serves two shapes, in ONNX Runtime and read back."""
    build, *shapes = NETWORKS[name]
    output = build()
    gd.onnx.save(gd.Graph([output]), tmp_path / "net.onnx")
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    run_here = gd.compile(output, mode="inference")
    model = gd.onnx.load(tmp_path / "net.onnx")
    run_back = gd.compile(list(model.outputs), inputs=list(model.inputs), mode="inference")
    for k, shape in enumerate(shapes):
        x = np.random.default_rng(k).normal(size=shape).astype("f")
        expected = run_here(x)
        assert_close(run(onnx.load(tmp_path / "net.onnx"), x=x)[0], expected, (1e-4, 1e-5), "in ONNX Runtime")
        assert_close(run_back(x)[0], expected, (1e-4, 1e-5), "read back")


def test_weights_keep_their_names(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    gd.onnx.save(net(gd.placeholder("x", ("N", 4))), tmp_path / "net.onnx", output_names=["logits"])
    model = gd.onnx.load(tmp_path / "net.onnx")
    assert model.output_names == ("logits",)
    found = dict(model.named_parameters())
    assert sorted(found) == sorted(net.state_dict())
    assert all(np.array_equal(found[name].value, array) for name, array in net.state_dict().items())


def test_what_cannot_be_written_is_named() -> None:
    with pytest.raises(UnsupportedOpError, match=r"view \(test_onnx_save.py:\d+\) cannot be written"):
        encode(gd.view(gd.placeholder("x", (2,)), "int32"))


def test_output_names_must_differ() -> None:
    x = gd.placeholder("x", (2,))
    with pytest.raises(CompileError, match="different names"):
        encode([x + 1, x + 2], ["a", "a"])
