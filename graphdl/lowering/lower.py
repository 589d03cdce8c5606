"""Graph to program: every node lowers itself; this file only decides where results live.

A node of the graph (after fusion) becomes one kernel. Reshapes become other views of the same storage. Results that the
user sees get output buffers; new values of parameters are written straight into the parameter where that is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from ..ir import Graph, Node, Tensor
from ..kernel.expression import Axis, Buffer, Expr, Index, fresh_axes, load, reporting
from ..kernel.pieces import pieces_of, share_reads
from ..kernel.program import Kernel, Program, Step, Store
from ..program import CompiledGraph
from ..record import record
from ..sizes import Dim, as_size
from ..types import Shape, TensorType
from .checks import writes_before_checks
from .control import ControlLowering
from .order import ordered
from .partial import split_reductions
from .update import Update


@record
class Access:
    """How an op reads an operand: `access(index)` is the element there, whether loaded or computed in place."""

    body: Body
    tensor: Tensor

    @property
    def type(self) -> TensorType:
        return self.tensor.type

    def __call__(self, index: Index) -> Expr:
        return self.body.element(self.tensor, index)


class Body:
    """Expressions of a group of nodes, inlined down to the buffers of its inputs."""

    def __init__(self, buffers: dict[Tensor, Buffer], site: Callable[[Node, Dim], int]) -> None:
        self.buffers = buffers
        self.site = site
        self._memo: dict[tuple[Tensor, Index], Expr] = {}

    def element(self, tensor: Tensor, index: Index) -> Expr:
        """The element of `tensor` at `index`: a load if it has a buffer, else its op's own expression."""
        buffer = self.buffers.get(tensor)
        if buffer is not None:
            return load(buffer, index)
        key = (tensor, index)
        known = self._memo.get(key)
        if known is None:
            node = tensor.node
            with reporting(lambda size: self.site(node, size)):
                known = node.op.lower(tensor.type, index, *(Access(self, operand) for operand in node.operands))
            self._memo[key] = known
        return known


class Lowering:
    """The program under construction. Ops that are no loop nests add their own steps through it."""

    def __init__(self, graph: Graph, outer: Lowering | None = None) -> None:
        self.graph = graph
        self.program = Program()
        self.buffers: dict[Tensor, Buffer] = {}
        self.root: Lowering = self if outer is None else outer.root
        self.updates_last = False  # new values of parameters are copied there at the end
        self.new_values: dict[Tensor, Tensor] = {}  # of which parameter a tensor is the new value, where it may be made in its place
        self._names = 0

    def lower(self, compiled: CompiledGraph, *, in_place: bool = True) -> Program:
        """The whole program: the graph between inputs, results and updates. With `in_place`, ops may change parts of parameters."""
        for tensor in self.graph.inputs:
            self.program.inputs.append(self.place(tensor, str(tensor.name), "input"))
        if in_place and not self.updates_last:
            self.new_values = dict(zip(compiled.new_values, compiled.updated, strict=True))
        self.lower_nodes(dict(zip(compiled.updated, compiled.new_values, strict=True)))
        for k, tensor in enumerate(compiled.results):
            self._output(k, tensor)
        Update(self, compiled).write()
        return self.program

    def lower_nodes(self, updates: Mapping[Tensor, Tensor] = MappingProxyType({})) -> None:
        """Steps for every node. The inputs must have their buffers. `updates` are the new values of parameters."""
        for node in ordered(self.graph, updates):
            self._lower_node(node)

    # -- for ops ------------------------------------------------------------------------------------------------

    @property
    def control(self) -> ControlLowering:
        """For ops with bodies."""
        return ControlLowering(self)

    def buffer(self, tensor: Tensor) -> Buffer:
        return self.buffers[tensor]

    def temporary(self, type: TensorType) -> Buffer:
        """Storage for something between steps."""
        buffer = Buffer(self._name("t"), type, "temporary")
        self.program.temporaries.append(buffer)
        return buffer

    def result(self, tensor: Tensor) -> Buffer:
        """Storage for a node's result."""
        buffer = self.temporary(tensor.type)
        self.buffers[tensor] = buffer
        return buffer

    def overwritten(self, tensor: Tensor, operand: Tensor) -> Buffer:
        """Storage for a node's result that holds `operand` to begin with: the operand's own if nothing else reads that, else a copy."""
        held, graph = self.buffers[operand], self.graph
        read = [other for node in graph.users[operand.node] for other in node.operands] + list(graph.outputs)
        is_own = held.kind == "carry" or held in self.program.temporaries or self.new_values.get(tensor) is operand
        if is_own and sum(other is operand for other in read) == 1:
            self.buffers[tensor] = held
            return held
        result = self.result(tensor)
        self.copy(held, result, [tensor.node])
        return result

    def add(self, step: Step) -> None:
        self.program.steps.append(step)

    def map(self, name: str, target: Buffer, expression: Expr, axes: tuple[Axis, ...], origins: Iterable[Node]) -> None:
        """Add a kernel that stores `expression` over all of `target`."""
        index = tuple(as_size(axis) for axis in axes)
        self.add(Kernel(name, axes, (Store(target, axes, index, expression),), tuple(origins)))

    def copy(self, source: Buffer, target: Buffer, origins: Iterable[Node]) -> None:
        axes = fresh_axes(target.type.shape)
        self.map("copy", target, load(source, tuple(as_size(axis) for axis in axes)), axes, origins)

    # -- nodes --------------------------------------------------------------------------------------------------

    def _lower_node(self, node: Node) -> None:
        op = node.op
        if op.is_input:
            return
        if op.is_parameter:
            self._static(node.output, str(node.output.name), "parameter", self.root.program.parameters)
        elif not node.operands and hasattr(op, "state"):
            self._static(node.output, self._name("c"), "constant", self.root.program.constants)
        elif op.is_view:
            source = self.buffers[node.operands[0]]
            self.buffers[node.output] = Buffer(source.name, node.output.type, source.kind, base=source)
        elif op.pattern == "fusion":
            self._fused(node, op.body)
        elif op.pattern == "opaque":
            with reporting(lambda size: self._site(node, size)):
                op.lower_steps(self, node.outputs, node.operands)
        else:
            self._kernel(op.name, [(node.output, node.output)], Body(self.buffers, self._site), (node,), node)

    def _fused(self, node: Node, body: Graph) -> None:
        inner = dict(zip(body.inputs, (self.buffers[operand] for operand in node.operands), strict=True))
        origins = tuple(n for n in body.nodes if not n.op.is_input)
        named = [n.op.name for n in origins if n.op.pattern != "injective"] or [n.op.name for n in origins]
        name = "_".join(dict.fromkeys(named[-4:]))
        self._kernel(name, list(zip(body.outputs, node.outputs, strict=True)), Body(inner, self._site), origins, node)

    def _kernel(self, name: str, pairs: Sequence[tuple[Tensor, Tensor]], body: Body, origins: tuple[Node, ...], node: Node) -> None:
        """One kernel for tensors of one domain, of leading axes of it, or made of pieces that are: (tensor in the body, tensor outside)."""
        shape = _domain([inner for inner, _ in pairs])
        axes = fresh_axes(shape)
        values = [(outer, _elements(inner, axes, shape, body)) for inner, outer in pairs]  # before their own buffers exist
        results = {outer: self.result(outer) for outer, _ in values}
        written = tuple(Store(results[outer], axes[:value_axes], index, value) for outer, found in values for value_axes, index, value in found)
        self.add(Kernel(name, axes, written, origins, node))

    # -- results ------------------------------------------------------------------------------------------------

    def _output(self, position: int, tensor: Tensor) -> None:
        """A visible result: the buffer that computes it, or a copy if that is an input, a parameter or given out already."""
        buffer = self.buffers[tensor]
        output = Buffer(f"out{position}", tensor.type, "output")
        self.program.outputs.append(output)
        if buffer.storage in self.program.temporaries and buffer.is_whole:
            self.become(buffer.storage, output)
        else:
            self.copy(buffer, output, [tensor.node])

    def become(self, storage: Buffer, target: Buffer) -> None:
        """Let what was a temporary live in `target` from the start."""
        self.program.temporaries.remove(storage)
        storage.kind = target.kind
        storage.name = target.name
        storage.base = target

    def place(self, tensor: Tensor, name: str, kind: str) -> Buffer:
        buffer = Buffer(name, tensor.type, kind, source=tensor)
        self.buffers[tensor] = buffer
        return buffer

    def _site(self, node: Node, size: Dim) -> int:
        """The number of what to say when an index that `node` reads from data is out of range."""
        message = f"{node.told}: an index is out of range for an axis of size {size}"
        sites = self.root.program.sites
        if message not in sites:
            sites.append(message)
        return sites.index(message)

    def _static(self, tensor: Tensor, name: str, kind: str, held: list[Buffer]) -> None:
        """The memory of a parameter or constant, which bodies share with the outermost program."""
        if tensor not in self.root.buffers:
            held.append(self.root.place(tensor, name, kind))
        self.buffers[tensor] = self.root.buffers[tensor]

    def _name(self, stem: str) -> str:
        self.root._names += 1
        return f"{stem}{self.root._names}"


def _domain(tensors: Sequence[Tensor]) -> Shape:
    """What a kernel that stores `tensors` runs over: a piece of those that are made of pieces, if it is the shape of all others."""
    made = {tensor: found for tensor in tensors if (found := pieces_of(tensor.node)) is not None}
    shapes = {made[tensor].shape if tensor in made else tensor.shape for tensor in tensors}
    gains = len(made) < len(tensors) or any(share_reads(tensor.node) for tensor in made)
    return shapes.pop() if made and gains and len(shapes) == 1 else max((tensor.shape for tensor in tensors), key=len)


def _elements(tensor: Tensor, axes: tuple[Axis, ...], shape: Shape, body: Body) -> list[tuple[int, Index, Expr]]:
    """What a kernel over `axes` stores of a tensor: on how many of the axes, where, and the value."""
    own = tuple(as_size(axis) for axis in axes[: tensor.ndim])
    pieces = pieces_of(tensor.node)
    if pieces is None or pieces.shape != shape:
        return [(tensor.ndim, own, body.element(tensor, own))]
    return [(tensor.ndim, pieces.index(k, axes), body.element(operand, own)) for k, operand in enumerate(tensor.node.operands)]


def lower_graph(compiled: CompiledGraph, *, updates_last: bool = False) -> Program:
    """The program that computes a compiled graph. With `updates_last`, nothing is computed after a parameter was written."""
    program = _lowered(compiled, updates_last=updates_last, in_place=True)
    if writes_before_checks(program):
        program = _lowered(compiled, updates_last=updates_last, in_place=False)
    split_reductions(program)
    return program


def _lowered(compiled: CompiledGraph, *, updates_last: bool, in_place: bool) -> Program:
    lowering = Lowering(compiled.graph)
    lowering.updates_last = updates_last
    return lowering.lower(compiled, in_place=in_place)
