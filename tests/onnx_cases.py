"""ONNX's own node tests: those that speak of numbers, and what of them is known to come out otherwise."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import onnx

from graphdl.onnx.coverage import OTHER_KINDS

NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13}  # TensorProto's float32, float64, integers of 8 to 64 bits and bool
CONVERSIONS = {"Cast": "to", "CastLike": "to", "QuantizeLinear": "output_dtype", "DequantizeLinear": "output_dtype"}

# Random numbers: every implementation draws its own, so types are compared and not values.
RANDOM = {
    "test_bernoulli", "test_bernoulli_expanded", "test_bernoulli_double", "test_bernoulli_double_expanded", "test_bernoulli_seed",
    "test_bernoulli_seed_expanded", "test_training_dropout", "test_training_dropout_default", "test_training_dropout_default_mask",
    "test_training_dropout_mask",
}  # fmt: skip
# What fails, and why.
SHORT = {
    "test_dft_inverse": "the expected imaginary parts are rounding errors of 1.9e-7 where 0 is right; the test allows 1e-7",
    "test_dft_inverse_opset19": "the expected imaginary parts are rounding errors of 1.9e-7 where 0 is right; the test allows 1e-7",
}


@functools.cache
def cases() -> dict[str, Any]:
    """The node tests of ops on tensors of numbers, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, where ONNX computes what it expects
        from onnx.backend.test.loader import load_node_model_tests

        found = {case.name: case for case in load_node_model_tests()}
    return {name: case for name, case in found.items() if case.model is not None and speaks_of_numbers(case.model)}


def speaks_of_numbers(model: onnx.ModelProto) -> bool:
    """Whether all values of a model are tensors of float32, float64, integers or bool, and its ops are those of networks."""
    if any(one.domain == "ai.onnx.ml" for one in model.opset_import):
        return False
    infos = [*model.graph.input, *model.graph.output]
    if any(info.type.WhichOneof("value") != "tensor_type" or info.type.tensor_type.elem_type not in NUMBERS for info in infos):
        return False
    return not any(node.op_type in OTHER_KINDS or _converts_otherwise(node) for node in model.graph.node)


def _converts_otherwise(node: onnx.NodeProto) -> bool:
    name = CONVERSIONS.get(node.op_type)
    return any(one.name == name and one.i and one.i not in {*NUMBERS, 10, 16} for one in node.attribute)
