"""Nodes and the tensors they produce."""

from __future__ import annotations

import copy
import itertools
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from ..constraints import Constraint, collect
from ..errors import GraphdlError, TypeRuleError
from ..sizes import Dim
from ..types import Shape, TensorType
from .provenance import current

# Every public function on tensors, by name: `gd.exp`, `x.exp()` and the operators look here. Ops enter themselves.
FUNCTIONS: dict[str, Callable[..., Any]] = {}
# Every class of ops, by name. They enter themselves too; the parser looks here.
REGISTRY: dict[str, type[Any]] = {}
E = TypeVar("E", bound=GraphdlError)
_PREFIX = re.compile(r"[\w.]+( \([^)]*\))?: ")  # a message that begins with what refused


class Operation(Protocol):
    """What a node needs of its op; `graphdl.op.Op` is the base of all of them. Attributes are dataclass fields."""

    @property
    def name(self) -> str: ...

    def infer(self, *operands: TensorType) -> TensorType | tuple[TensorType, ...]: ...


class Node:
    """One application of an op. Immutable; equal applications are one object (`make_node`)."""

    __slots__ = ("__weakref__", "constraints", "number", "op", "operands", "outputs", "provenance")

    def __init__(self, op: Any, operands: tuple[Tensor, ...], types: tuple[TensorType, ...], constraints: tuple[Constraint, ...]) -> None:
        self.op = op
        self.operands = operands
        self.outputs = tuple(Tensor(self, k, type) for k, type in enumerate(types))
        self.constraints = constraints
        self.provenance = current()
        self.number = next(_numbers)

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    @property
    def told(self) -> str:
        """The op and the user's line, as messages name a node."""
        source = self.provenance.declared.source
        return f"{self.op.name} ({source})" if source else str(self.op.name)

    def __repr__(self) -> str:
        types = ", ".join(str(tensor.type) for tensor in self.outputs)
        return f"<{self.op.name} : {types}>"


_numbers = itertools.count()
_interned: weakref.WeakValueDictionary[Any, Node] = weakref.WeakValueDictionary()


class Tensor:
    """The value of one result of a node: what users hold, combine and differentiate."""

    __slots__ = ("__weakref__", "index", "node", "type")
    __array_ufunc__ = None  # NumPy arrays give way to the operators below

    def __init__(self, node: Node, index: int, type: TensorType) -> None:
        self.node = node
        self.index = index
        self.type = type

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def ndim(self) -> int:
        return self.type.rank

    @property
    def size(self) -> Dim:
        return self.type.size

    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return _apply("transpose", self)

    @property
    def value(self) -> np.ndarray[Any, Any]:
        """The array a parameter or constant holds. Raises TypeRuleError for computed tensors."""
        array: np.ndarray[Any, Any] = self._state().read()
        return array

    @value.setter
    def value(self, array: Any) -> None:
        self._state().write(array)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """Itself, as graphs never change; of a parameter another one, with a copy of its array."""
        return make_node(copy.deepcopy(self.node.op, memo)).outputs[self.index] if self.node.op.is_parameter else self

    def _state(self) -> Any:
        state = getattr(self.node.op, "state", None)
        if state is None:
            raise TypeRuleError(f"only parameters and constants have a value; this is {self.node!r}: compile it to compute it")
        return state

    @property
    def name(self) -> str | None:
        """The name of a placeholder or parameter."""
        return getattr(self.node.op, "label", None)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<Tensor{name} {self.node.op.name}: {self.type}>"

    def _repr_html_(self) -> str:
        from .drawing import tensor_html

        return tensor_html(self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = FUNCTIONS.get(name)
        if function is None:
            raise AttributeError(f"Tensor has no attribute or function {name!r}")
        return lambda *args, **kwargs: function(self, *args, **kwargs)

    def __bool__(self) -> bool:
        raise TypeError("a tensor has no truth value while the graph is declared: use gd.where or gd.cond")

    def __len__(self) -> int:
        if not self.shape or not isinstance(self.shape[0], int):
            raise TypeError(f"{self!r} has no length that is known while the graph is declared")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[k] for k in range(len(self)))

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Tensor:
        return _apply("add", self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _apply("add", other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _apply("subtract", other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _apply("multiply", self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _apply("multiply", other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _apply("divide", other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return _apply("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _apply("floor_divide", other, self)

    def __mod__(self, other: Any) -> Tensor:
        return _apply("remainder", self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return _apply("remainder", other, self)

    def __pow__(self, other: Any) -> Tensor:
        return _apply("power", self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _apply("power", other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return _apply("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _apply("matmul", other, self)

    def __neg__(self) -> Tensor:
        return _apply("negative", self)

    def __abs__(self) -> Tensor:
        return _apply("abs", self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return _apply("equal", self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return _apply("not_equal", self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _apply("less", self, other)

    def __le__(self, other: Any) -> Tensor:
        return _apply("less_equal", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _apply("greater", self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _apply("greater_equal", self, other)

    def __and__(self, other: Any) -> Tensor:
        return _apply("bitwise_and", self, other)

    def __rand__(self, other: Any) -> Tensor:
        return _apply("bitwise_and", other, self)

    def __or__(self, other: Any) -> Tensor:
        return _apply("bitwise_or", self, other)

    def __ror__(self, other: Any) -> Tensor:
        return _apply("bitwise_or", other, self)

    def __xor__(self, other: Any) -> Tensor:
        return _apply("bitwise_xor", self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return _apply("bitwise_xor", other, self)

    def __lshift__(self, other: Any) -> Tensor:
        return _apply("left_shift", self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return _apply("left_shift", other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return _apply("right_shift", self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return _apply("right_shift", other, self)

    def __invert__(self) -> Tensor:
        return _apply("bitwise_not", self)

    def __getitem__(self, key: Any) -> Tensor:
        return _apply("index", self, key)


def _apply(name: str, *operands: Any) -> Tensor:
    result: Tensor = FUNCTIONS[name](*operands)
    return result


def as_tensor(value: Any) -> Tensor:
    """A tensor from a tensor, or from anything NumPy makes an array of, as a constant."""
    return value if isinstance(value, Tensor) else _apply("constant", value)


def make_node(op: Any, operands: Sequence[Tensor] = (), like: Node | None = None) -> Node:
    """The node of `op` on `operands`: the existing one if there is an equal one, its provenance merged.

    `like` is a node of the same op on operands of the same types: then the type rule need not run.
    Raises ShapeError or TypeRuleError from the op's type rule, with the op, the operands' types and their lines.
    """
    key = (op, *map(id, operands))
    known = _interned.get(key)
    if known is not None:
        known.provenance.merge(current())
        return known
    types, constraints = infer_types(op, operands) if like is None else (tuple(tensor.type for tensor in like.outputs), like.constraints)
    node = Node(op, tuple(operands), types, constraints)
    _interned[key] = node
    return node


def infer_types(op: Any, operands: Sequence[Tensor]) -> tuple[tuple[TensorType, ...], tuple[Constraint, ...]]:
    """Run the type rule of `op`. Errors are told with the operands and the user's lines."""
    with collect() as constraints:
        try:
            inferred = op.infer(*(tensor.type for tensor in operands))
        except GraphdlError as error:
            raise tell(error, op.name, operands) from None
    types = inferred if isinstance(inferred, tuple) else (inferred,)
    return types, tuple(constraints)


def tell(error: E, name: str, operands: Sequence[Tensor]) -> E:
    """The error with the op, its operands and the user's lines, unless its message has them."""
    if error.is_told:
        return error
    message = str(error)
    lines = [message if _PREFIX.match(message) else f"{name}: {message}"]
    if "\n  operand 0" not in message:
        lines += [f"  operand {k}{_shown(tensor)}" for k, tensor in enumerate(operands)]
    here = current().source
    error.args = ("\n".join(lines) + (f"\n  at {here}" if here else ""), *error.args[1:])
    error.is_told = True
    return error


def _shown(tensor: Tensor) -> str:
    made = tensor.node.provenance.declared.source
    name = f" {tensor.name!r}" if tensor.name else ""
    return f"{name}: {tensor.type}" + (f" ({made})" if made else "")
