"""ONNX's backend interface: `prepare(model).run(inputs)` on native code.

A size that follows from an input's values is known only at a call; then a program is made for those values, and kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.backend.base as base

from ..compiler import Executable, compile
from ..errors import CallError, GraphdlError, ValueNeededError
from ..record import record
from .importer import check_supported, load
from .known import Array
from .model import Model

KEPT = 64  # programs of one model


@record
class _Key:
    """What a program was made for: inputs whose values, and whether all inputs' shapes, are part of it."""

    digests: tuple[tuple[str, bytes], ...]
    shapes: tuple[tuple[int, ...], ...] | None


class Prepared(base.BackendRep):
    """A model that is ready to run. Programs are made at the first call that needs them."""

    def __init__(self, proto: onnx.ModelProto, options: Mapping[str, Any]) -> None:
        self._proto = proto
        self._options = dict(options)
        self._programs: dict[_Key, tuple[Model, Executable]] = {}
        self._fixed: tuple[str, ...] = ()  # inputs whose values decide sizes
        self._by_shape = False
        weights = {one.name for one in proto.graph.initializer}
        self._names = [one.name for one in proto.graph.input if one.name not in weights]

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs for inputs by position or by name, as arrays; a sequence is a list of arrays."""
        given = self._by_name(inputs)
        model, program = self._program(given)
        found = program(**{str(tensor.name): given[str(tensor.name)] for tensor in model.inputs})
        return self._outputs(dict(zip(model.output_names, found, strict=True)))

    def _by_name(self, inputs: Any) -> dict[str, Array]:
        if isinstance(inputs, Mapping):
            return {name: np.asarray(value) for name, value in inputs.items()}
        listed = list(inputs) if isinstance(inputs, Sequence) else [inputs]
        if len(listed) > len(self._names):
            raise CallError(f"the model takes {len(self._names)} inputs ({', '.join(self._names)}), but {len(listed)} were given")
        return {name: np.asarray(value) for name, value in zip(self._names, listed, strict=False)}

    def _program(self, given: Mapping[str, Array]) -> tuple[Model, Executable]:
        while True:
            try:
                return self._made(given)
            except ValueNeededError as error:
                needed = [name for name in error.names if name in given and name not in self._fixed]
                if not needed and self._by_shape:
                    raise
                self._by_shape = self._by_shape or not needed
                self._fixed = (*self._fixed, *needed)
            except GraphdlError:
                if self._by_shape:
                    raise
                self._by_shape = True  # what symbolic sizes leave open, the sizes of this call decide

    def _made(self, given: Mapping[str, Array]) -> tuple[Model, Executable]:
        fixed = {name: given[name] for name in self._fixed}
        digests = tuple((name, hashlib.sha256(array.tobytes() + str((array.dtype, array.shape)).encode()).digest()) for name, array in fixed.items())
        shapes = tuple(given[name].shape for name in self._names if name in given) if self._by_shape else None
        key = _Key(digests, shapes)
        if key not in self._programs:
            known = {name: given[name].shape for name in self._names if name in given and name not in fixed} if self._by_shape else None
            model = load(self._proto, constants=fixed, shapes=known)
            program = compile(list(model.outputs), inputs=list(model.inputs), **{"frozen": True, **self._options})
            if len(self._programs) >= KEPT:
                self._programs.pop(next(iter(self._programs)))
            self._programs[key] = model, program
        return self._programs[key]

    def _outputs(self, found: Mapping[str, Array]) -> tuple[Any, ...]:
        return tuple(_gathered(info, found) for info in self._proto.graph.output)


def _gathered(info: onnx.ValueInfoProto, found: Mapping[str, Array]) -> Any:
    if info.name in found:
        return found[info.name]
    prefix = f"{info.name}."
    return [array for name, array in found.items() if name.startswith(prefix) and name[len(prefix) :].isdigit()]


class Backend(base.Backend):
    """graphdl as an ONNX backend. Options of `prepare` are those of `gd.compile`; programs are frozen unless they say otherwise."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether every op of the model can be translated."""
        try:
            check_supported(model)
        except GraphdlError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """A model ready to run. Raises UnsupportedOpError that lists the ops that cannot be translated."""
        onnx.checker.check_model(model)
        check_supported(model)
        return Prepared(model, kwargs)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """The outputs of a model for inputs."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs of one node; `opset_version` tells its opset, the newest by default."""
        opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        arrays = [np.asarray(one) for one in inputs]
        names = [name for name in node.input if name]
        types = [onnx.helper.np_dtype_to_tensor_dtype(one.dtype) for one in arrays]
        infos = [onnx.helper.make_tensor_value_info(*one) for one in zip(names, types, (one.shape for one in arrays), strict=True)]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "node", infos, outputs)
        proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset)])
        check_supported(proto)
        return Prepared(proto, kwargs).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether a device is supported: only the CPU."""
        return device.split(":", maxsplit=1)[0] == "CPU"


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
