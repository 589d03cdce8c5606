"""Ops of com.microsoft, which ONNX's node tests do not have, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from graphdl.onnx import backend

Array = np.ndarray[Any, Any]
CLOSE = 1e-5
G = np.random.default_rng(0)


def f(*shape: int) -> Array:
    return G.normal(size=shape).astype("f")


def i(dtype: str, *shape: int) -> Array:
    limits = np.iinfo(dtype)
    return G.integers(limits.min, limits.max, shape, dtype, endpoint=True)


MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], "int32")
SCALE = np.array(0.02, "f")
# Name of the op, inputs in order (None where left out), attributes, and how many results are compared.
CASES: dict[str, tuple[str, list[Array | None], dict[str, Any], int]] = {
    "Attention": ("Attention", [f(2, 5, 8), f(8, 24), f(24)], {"num_heads": 2}, 1),
    "Attention, masked": ("Attention", [f(2, 5, 8), f(8, 24), f(24), MASK], {"num_heads": 2}, 1),
    "Attention, causal": ("Attention", [f(2, 5, 8), f(8, 24), f(24)], {"num_heads": 4, "unidirectional": 1}, 1),
    "Attention of other sizes": ("Attention", [f(2, 5, 8), f(8, 20), f(20)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}, 1),
    "QAttention": (
        "QAttention", [i("uint8", 2, 5, 8), i("int8", 8, 24), f(24), SCALE, SCALE, None, np.array(128, "uint8"), np.array(3, "int8")], {"num_heads": 2}, 1,
    ),
    "MultiHeadAttention": ("MultiHeadAttention", [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8)], {"num_heads": 2}, 1),
    "MultiHeadAttention with biases": ("MultiHeadAttention", [f(2, 5, 8), f(2, 5, 8), f(2, 5, 8), f(24), MASK, f(1, 2, 5, 5)], {"num_heads": 2}, 1),
    "BiasGelu": ("BiasGelu", [f(3, 4), f(4)], {}, 1),
    "FastGelu": ("FastGelu", [f(3, 4), f(4)], {}, 1),
    "QuickGelu": ("QuickGelu", [f(3, 4)], {"alpha": 1.5}, 1),
    "Gelu": ("Gelu", [f(3, 4)], {}, 1),
    "FusedMatMul": ("FusedMatMul", [f(2, 3, 4), f(2, 5, 4)], {"transB": 1, "alpha": 0.5}, 1),
    "FusedConv": ("FusedConv", [f(1, 2, 6, 6), f(3, 2, 3, 3), f(3)], {"activation": "Relu"}, 1),
    "SkipLayerNormalization": ("SkipLayerNormalization", [f(2, 3, 4), f(2, 3, 4), f(4), f(4), f(4)], {"epsilon": 1e-5}, 1),
    "DynamicQuantizeMatMul": ("DynamicQuantizeMatMul", [f(3, 4), i("uint8", 4, 5), SCALE.reshape(1), i("uint8", 1), f(5)], {}, 1),
    "MatMulIntegerToFloat": (
        "MatMulIntegerToFloat", [i("uint8", 3, 4), i("int8", 4, 5), SCALE, f(5), np.array(9, "uint8"), i("int8", 5), f(5)], {}, 1,
    ),
    "DynamicQuantizeLSTM": (
        "DynamicQuantizeLSTM",
        [f(4, 1, 3), i("int8", 2, 3, 20), i("int8", 2, 5, 20), f(2, 40), None, None, None, None, np.array([0.01, 0.02], "f"), np.zeros(2, "int8"),
         np.array([0.02, 0.01], "f"), np.zeros(2, "int8")], {"hidden_size": 5, "direction": "bidirectional"}, 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_against_onnx_runtime(name: str) -> None:
    op, inputs, attributes, results = CASES[name]
    names = [f"x{k}" if one is not None else "" for k, one in enumerate(inputs)]
    given = {name: one for name, one in zip(names, inputs, strict=True) if one is not None}
    infos = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(one.dtype), one.shape) for name, one in given.items()]
    outputs = [f"y{k}" for k in range(results)]
    node = helper.make_node(op, names, outputs, domain="com.microsoft", **attributes)
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    expected: Any = onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, given)
    found = backend.Prepared(proto, {}).run(given)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, CLOSE, CLOSE)


def test_what_is_not_supported_is_named() -> None:
    node = onnx.helper.make_node("Attention", ["x", "w", "b", "", "past"], ["y"], domain="com.microsoft", num_heads=2)
    with pytest.raises(Exception, match=r"Attention \(opset 1 of com.microsoft\) at node 'y': Attention with a past"):
        backend.run_node(node, [f(2, 5, 8), f(8, 24), f(24), f(2, 2, 2, 3, 4)], opset_version=1)
