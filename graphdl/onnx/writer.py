"""A graph written as ONNX nodes: names, constants, sizes, and the rules by which ops are written."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import UnsupportedOpError
from ..ir import Graph, Node, Tensor
from ..ir.graph import topological_order
from ..ops.elementwise import describe
from ..sizes import Dim, Size, SymbolAtom, terms_of
from ..sizes.division import Combined
from ..types import TensorType
from .elements import element_number

OPSET = 18
IR_VERSION = 9
Rule = Callable[["Writer", Node], Any]
F = TypeVar("F", bound=Rule)

# By the name of the op. A rule gives the name of the result, or a tuple of names.
RULES: dict[str, Rule] = {}


def writes(*names: str) -> Callable[[F], F]:
    """Enter a rule for ops of these names."""

    def enter(rule: F) -> F:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return enter


def load_rules() -> None:
    """Import every module of the folder `writing`, each of which enters its rules."""
    package = importlib.import_module(f"{__package__}.writing")
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{info.name}")


class Writer:
    """Nodes of one ONNX graph, in order. Inside of a body, what the outer graph has named is visible too."""

    def __init__(self, outer: Writer | None = None) -> None:
        self.outer = outer
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = outer.weights if outer else {}  # all lie in the outermost graph
        self.names: dict[Tensor, str] = {}
        self.sizes: dict[Dim, str] = {}
        self.constants: dict[Any, str] = outer.constants if outer else {}
        self.taken: set[str] = outer.taken if outer else set()

    # -- names --------------------------------------------------------------------------------------------------

    def fresh(self, wish: str) -> str:
        """A name that no value has yet, like `wish`."""
        name, k = wish, 0
        while name in self.taken:
            k += 1
            name = f"{wish}_{k}"
        self.taken.add(name)
        return name

    def name(self, tensor: Tensor) -> str:
        """The name of a tensor that is written already."""
        if tensor in self.names:
            return self.names[tensor]
        assert self.outer is not None, tensor
        return self.outer.name(tensor)

    def size_name(self, size: Dim) -> str | None:
        """The name of the scalar that holds a size, if it is written already."""
        return self.sizes[size] if size in self.sizes else self.outer.size_name(size) if self.outer else None

    # -- nodes --------------------------------------------------------------------------------------------------

    def emit(self, op: str, *inputs: str, results: int = 1, **attributes: Any) -> str:
        """A node with one result, whose name is returned."""
        return self.emit_all(op, *inputs, results=results, **attributes)[0]

    def emit_all(self, op: str, *inputs: str, results: int, **attributes: Any) -> list[str]:
        """A node; the names of its results are returned."""
        outputs = [self.fresh(op.lower()) for _ in range(results)]
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name=self.fresh(f"{op}.node"), **attributes))
        return outputs

    def constant(self, value: Any, dtype: str | None = None) -> str:
        """The name of an initializer with this value; equal ones are one."""
        array = np.asarray(value, dtype and np.dtype(dtype))
        key = array.dtype.name, array.shape, array.tobytes()
        if key not in self.constants:
            self.constants[key] = self.weight("constant", array)
        return self.constants[key]

    def weight(self, wish: str, array: np.ndarray[Any, Any]) -> str:
        """The name of an initializer of its own."""
        name = self.fresh(wish)
        self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        return name

    def vector(self, sizes: Sequence[Dim]) -> str:
        """The name of an int64 vector of sizes."""
        if all(isinstance(size, int) for size in sizes):
            return self.constant(np.array(sizes, "int64"))
        return self.emit("Concat", *(self.emit("Reshape", self.size(size), self.constant([1], "int64")) for size in sizes), axis=0)

    def size(self, size: Dim) -> str:
        """The name of an int64 scalar that is a size, computed from the inputs' shapes."""
        if isinstance(size, int):
            return self.constant(size, "int64")
        found = self.size_name(size)
        if found is None:
            found = self.sizes[size] = self._polynomial(size)
        return found

    def _polynomial(self, size: Size) -> str:
        terms = []
        for monomial, coefficient in terms_of(size):
            factors = [self.size_of_atom(atom) for atom in monomial]
            if coefficient != 1 or not factors:
                factors.append(self.constant(coefficient, "int64"))
            terms.append(self._folded("Mul", factors))
        return self._folded("Add", terms)

    def _folded(self, op: str, names: Sequence[str]) -> str:
        first, *rest = names
        for name in rest:
            first = self.emit(op, first, name)
        return first

    def size_of_atom(self, atom: Any) -> str:
        """The name of the scalar of a symbol or of a quotient, rest, minimum or maximum of sizes."""
        if isinstance(atom, SymbolAtom):
            found = self.size_name(atom)  # type: ignore[arg-type]
            assert found is not None, atom
            return found
        assert isinstance(atom, Combined)
        return self.emit(_COMBINED[atom.function], self.size(atom.left), self.size(atom.right))

    # -- graphs -------------------------------------------------------------------------------------------------

    def write(self, graph: Graph) -> None:
        """Write all nodes of a graph whose inputs have names."""
        for node in graph.nodes:
            if node.outputs[0] not in self.names:
                self._write_node(node)

    def _write_node(self, node: Node) -> None:
        if node.op.name not in RULES:
            raise UnsupportedOpError(f"{node.told} cannot be written as ONNX nodes: {describe(node.output)}")
        found = RULES[node.op.name](self, node)
        self.names.update(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True))

    def written(self, tensor: Tensor) -> str:
        """The name of a tensor that is computed from written ones by other ops."""
        for node in topological_order([tensor]):
            if not all(one in self.names for one in node.outputs) and not self.is_outside(node):
                self._write_node(node)
        return self.name(tensor)

    def is_outside(self, node: Node) -> bool:
        """Whether an outer graph has the node's results."""
        return self.outer is not None and (node.outputs[0] in self.outer.names or self.outer.is_outside(node))

    def graph(self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.GraphProto:
        """What was written, as a graph; the outermost one holds the initializers."""
        weights = list(self.weights.values()) if self.outer is None else []
        return helper.make_graph(self.nodes, name, list(inputs), list(outputs), initializer=weights)


_COMBINED = {"floordiv": "Div", "mod": "Mod", "min": "Min", "max": "Max"}


def value_info(name: str, type: TensorType) -> onnx.ValueInfoProto:
    """The declaration of a value; symbolic sizes that are no plain names are left open."""
    shape = [size if isinstance(size, int) else str(size) if str(size).isidentifier() else None for size in type.shape]
    return helper.make_tensor_value_info(name, element_number(type.dtype), shape)
