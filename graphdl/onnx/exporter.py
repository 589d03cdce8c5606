"""`save`: a forward graph becomes a model file."""

from __future__ import annotations

import os
from collections.abc import Sequence

import onnx
from onnx import helper

from ..errors import CompileError
from ..io.safetensors import replace_file
from ..ir import Graph, Node, Tensor
from ..passes.expand import expanded
from ..passes.specialise import specialised
from ..rewrite import map_nodes, rewrite
from ..signature import Signature
from ..sizes import SymbolAtom, atoms_of
from ..version import __version__
from .model import Model
from .writer import IR_VERSION, OPSET, RULES, Writer, load_rules, value_info


def save(graph: Graph | Model | Tensor | Sequence[Tensor], path: str | os.PathLike[str], output_names: Sequence[str] | None = None) -> None:
    """Write a graph as an ONNX model of opset 18, for inference: inputs by their names, parameters as initializers.

    Symbolic sizes stay so; `output_names` are "output" or "output_0", "output_1" ... unless given. The file is checked by
    onnx.checker and written whole or not at all. Raises UnsupportedOpError for an op that ONNX cannot express, with its line,
    CompileError for inputs without names of their own or sizes that no input tells.
    """
    data = encode(graph, output_names).SerializeToString()
    replace_file(path, data)


def encode(graph: Graph | Model | Tensor | Sequence[Tensor], output_names: Sequence[str] | None = None) -> onnx.ModelProto:
    """The model that `save` writes, as a ModelProto."""
    load_rules()
    names = list(output_names or (graph.output_names if isinstance(graph, Model) else ()))
    whole = _forward(_as_graph(graph))
    names = names or (["output"] if len(whole.outputs) == 1 else [f"output_{k}" for k in range(len(whole.outputs))])
    if len(names) != len(whole.outputs) or len(set(names)) != len(names):
        raise CompileError(f"{len(whole.outputs)} outputs need as many different names, got {names}")
    signature = Signature.of(whole)
    writer = Writer()
    writer.taken.update(names, signature.names)
    inputs = []
    for tensor, name in zip(signature.inputs, signature.names, strict=True):
        writer.names[tensor] = name
        inputs.append(value_info(name, tensor.type))
    _declare_sizes(writer, whole)
    writer.write(whole)
    for tensor, name in zip(whole.outputs, names, strict=True):
        writer.nodes.append(helper.make_node("Identity", [writer.name(tensor)], [name], name=writer.fresh("Identity.node")))
    outputs = [value_info(name, tensor.type) for name, tensor in zip(names, whole.outputs, strict=True)]
    proto = helper.make_model(
        writer.graph("graphdl", inputs, outputs), opset_imports=[helper.make_opsetid("", OPSET)], producer_name="graphdl", producer_version=__version__
    )
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _as_graph(graph: Graph | Model | Tensor | Sequence[Tensor]) -> Graph:
    if isinstance(graph, Graph):
        return graph
    return graph.graph if isinstance(graph, Model) else Graph([graph] if isinstance(graph, Tensor) else list(graph))


def _forward(graph: Graph) -> Graph:
    """The graph as it runs at inference; ops that stand for several others are written as those, unless there is a rule for them."""

    def at_inference(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
        return specialised(node, operands)

    def in_others(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
        return None if node.op.name in RULES else expanded(node, operands)

    return map_nodes(rewrite(graph, at_inference, "specialise"), in_others, "expand")


def _declare_sizes(writer: Writer, graph: Graph) -> None:
    """Name every symbolic size by the first plain axis of an input that has it."""
    for tensor in graph.inputs:
        for axis, size in enumerate(tensor.shape):
            atom = next(iter(atoms_of(size)), None)
            if isinstance(atom, SymbolAtom) and str(size) == atom.key and atom not in writer.sizes:
                vector = writer.emit("Shape", writer.name(tensor), start=axis, end=axis + 1)
                writer.sizes[atom] = writer.emit("Reshape", vector, writer.constant([], "int64"))  # type: ignore[index]
