"""Small ONNX models, made of a list of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .case import Array, Run
from .threads import thread_count

Node = tuple[str, list[str], str] | tuple[str, list[str], str, dict[str, Any]]  # op, inputs, output, attributes


def onnx_run(nodes: Sequence[Node], inputs: Mapping[str, Array], constants: Mapping[str, Array | float]) -> Run:
    """A session of ONNX Runtime for `nodes`, whose last one gives the result; all optimisations on."""

    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    made = [helper.make_node(op, given, [output], **(rest[0] if rest else {})) for op, given, output, *rest in nodes]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in inputs.items()]
    result = helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(made, "case", values, [result], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = dict(inputs)
    return lambda: session.run(None, feed)
