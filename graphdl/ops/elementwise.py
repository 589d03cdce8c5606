"""The base of elementwise ops: declared by a scalar expression, from which derivative, formula and code come."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError, TypeRuleError
from ..formula import Call, Formula, number
from ..ir import Node, Tensor, as_tensor
from ..ir.node import FUNCTIONS
from ..kernel import interpretation
from ..kernel.derivative import derivative
from ..kernel.expression import Const, Expr, Index, Scalar, Variable, const, inline, transform, variable, walk
from ..op import REGISTRY, Access, Array, Op
from ..record import record
from ..sizes import Size
from ..types import Shape, TensorType, is_floating, promote, promote_scalar
from .source import full, full_value

_SHORT = 4  # functions in a derivative of several operands that is written out


class Elementwise(Op):
    """An op on one element of each operand, all of one shape and, unless it says otherwise, one dtype.

    Subclasses give `expression`, and `evaluate` in plain NumPy beside it; where the derivative can be told from the
    result or needs a stabler form, they override `partial`.
    """

    pattern: ClassVar[str] = "pointwise"
    arity: ClassVar[int] = 1
    kinds: ClassVar[str] = "f"  # NumPy's kind letters that operands may have: f, iu, b
    linear: ClassVar[bool] = False
    commutative: ClassVar[bool] = False

    def expression(self, *x: Expr) -> Expr:
        """The op as a scalar expression of its operands."""
        raise NotImplementedError

    def infer(self, *operands: TensorType) -> TensorType:
        if len(operands) != self.arity:
            raise TypeRuleError(f"takes {self.arity} operands, got {len(operands)}")
        first = operands[0]
        for other in operands[1:]:
            if other.dtype != first.dtype:
                raise TypeRuleError(f"operands have dtypes {first.dtype} and {other.dtype}: cast one of them")
        self._check_kind(first.dtype)
        return TensorType(self.result_dtype(first.dtype), same_shape(*operands))

    def _check_kind(self, dtype: str) -> None:
        if kind_of(dtype) not in self.kinds:
            raise TypeRuleError(f"{self.name} is not defined for {dtype}")

    def result_dtype(self, dtype: str) -> str:
        return self.scalar((dtype,) * self.arity).dtype

    def scalar(self, dtypes: tuple[str, ...]) -> Expr:
        """The declared expression over variables of these dtypes."""
        return _declared(self, dtypes)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        arguments = tuple(operand(index) for operand in operands)
        return inline(self.scalar(tuple(argument.dtype for argument in arguments)), arguments)

    def partial(self, position: int, output: Tensor, *operands: Tensor) -> Tensor | None:
        """The derivative by operand `position`, as a tensor of the operands' shape; None where it is zero."""
        slope = _slope(self, tuple(x.dtype for x in operands), position)
        if isinstance(slope, Const):
            return None if slope.value == 0 else full(output.shape, slope.value, output.dtype)
        if _is_short(slope) or _is_short(slope := _with_numbers(slope, operands)):
            return as_graph(slope, operands)
        return PartialDerivative(self, position)(*operands)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return [self._term(k, cotangent, output, operands) for k in range(len(operands))]

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        total: Tensor | None = None
        for k, tangent in enumerate(tangents):
            term = self._term(k, tangent, output, operands) if tangent is not None else None
            if term is not None:
                total = term if total is None else total + term
        return total

    def _term(self, position: int, factor: Tensor, output: Tensor, operands: tuple[Tensor, ...]) -> Tensor | None:
        if not is_floating(operands[position].dtype) or not is_floating(output.dtype):
            return None
        slope = self.partial(position, output, *operands)
        if slope is None or full_value(slope) == 0:
            return None
        if full_value(slope) == 1:
            return factor
        return -factor if full_value(slope) == -1 else factor * slope


def _with_numbers(expression: Expr, operands: tuple[Tensor, ...]) -> Expr:
    """A scalar expression with operands that are one number everywhere written as it, and what follows from numbers alone computed."""

    def folded(x: Expr) -> Expr | None:
        if isinstance(x, Variable):
            value = full_value(operands[x.position])
            return const(value, x.dtype) if isinstance(value, int | float) else None
        if isinstance(x, Scalar) and all(isinstance(operand, Const) for operand in x.operands):
            return const(interpretation.evaluate(x, ()).item(), x.dtype)
        return None

    if all(full_value(x) is None for x in operands):
        return expression
    return transform(transform(expression, folded), folded)


@record
class PartialDerivative(Elementwise):
    """The derivative of another elementwise op by one of its operands, e.g. gelu'(x)."""

    name: ClassVar[str] = "derivative"
    of: Elementwise
    position: int

    @property
    def arity(self) -> int:  # type: ignore[override]
        return self.of.arity

    def expression(self, *x: Expr) -> Expr:
        dtypes = tuple(operand.dtype for operand in x)
        return inline(_slope(self.of, dtypes, self.position), x)

    def infer(self, *operands: TensorType) -> TensorType:
        return self.of.infer(*operands)

    def evaluate(self, *operands: Array) -> Array:
        declared = self.scalar(tuple(operand.dtype.name for operand in operands))
        return interpretation.evaluate(declared, operands)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        slope = self.scalar(tuple(x.dtype for x in node.operands))
        if self.arity > 1 and sum(isinstance(x, Scalar) for x in walk(slope)) <= _SHORT:
            return _written(slope, node, operands)
        of = self.of.formula(node, *operands)
        function = of.function if isinstance(of, Call) else self.of.name
        primes = of.primes + 1 if isinstance(of, Call) else 1
        return Call(function, operands, "" if self.of.arity == 1 else str(self.position + 1), primes)


@cache
def _declared(op: Elementwise, dtypes: tuple[str, ...]) -> Expr:
    return op.expression(*(variable(k, dtype) for k, dtype in enumerate(dtypes)))


@cache
def _slope(op: Elementwise, dtypes: tuple[str, ...], position: int) -> Expr:
    return derivative(op.scalar(dtypes), position)


def _is_short(expression: Expr) -> bool:
    """Whether it reads as well as the name of a derivative would."""
    return sum(isinstance(x, Scalar) for x in walk(expression)) <= 2


@cache
def _op_of_function(name: str) -> Elementwise | None:
    """The op that is exactly one function of the table, if there is one."""
    for kind in REGISTRY.values():
        if issubclass(kind, Elementwise) and getattr(kind, "function", None) == name:
            return kind()
    return None


def as_graph(expression: Expr, operands: Sequence[Tensor]) -> Tensor:
    """A scalar expression written with ops on tensors."""
    values: dict[int, Tensor] = {}
    for x in walk(expression):
        if isinstance(x, Variable):
            values[x.number] = operands[x.position]
        elif isinstance(x, Const):
            values[x.number] = full(operands[0].shape, x.value, x.dtype)
        else:
            assert isinstance(x, Scalar)
            arguments = tuple(values[operand.number] for operand in x.operands)
            op = _op_of_function(x.function)
            values[x.number] = op(*arguments) if op else FUNCTIONS["astype"](arguments[0], x.dtype)
    return values[expression.number]


def _written(expression: Expr, node: Node, operands: Sequence[Formula]) -> Formula:
    """A scalar expression as mathematics."""
    values: dict[int, Formula] = {}
    for x in walk(expression):
        if isinstance(x, Variable):
            values[x.number] = operands[x.position]
        elif isinstance(x, Const):
            values[x.number] = number(x.value)
        else:
            assert isinstance(x, Scalar)
            arguments = [values[operand.number] for operand in x.operands]
            op = _op_of_function(x.function)
            values[x.number] = op.formula(node, *arguments) if op else Call(x.function, tuple(arguments))
    return values[expression.number]


def kind_of(dtype: str) -> str:
    """f for floating, i for integers, b for bool."""
    return "f" if is_floating(dtype) else "b" if dtype == "bool" else "i"


def same_shape(*operands: TensorType) -> Shape:
    """The one shape of all operands. Raises ShapeError."""
    shape = operands[0].shape
    for other in operands[1:]:
        if other.shape == shape:
            continue
        if len(other.shape) != len(shape):
            raise ShapeError(f"ranks differ: {operands[0]} and {other}")
        shape = tuple(unify(a, b, f"axis {k}") for k, (a, b) in enumerate(zip(shape, other.shape, strict=True)))
    return shape


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's broadcasting; symbolic sizes of other names are taken to be equal. Raises ShapeError."""
    if shapes and all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    rank = max(map(len, shapes), default=0)
    result: list[Any] = [1] * rank
    for shape in shapes:
        for k, size in enumerate(shape, rank - len(shape)):
            if result[k] == 1:
                result[k] = size
            elif size != 1:
                try:
                    result[k] = unify(result[k], size, f"axis {k - rank}")
                except ShapeError:
                    raise ShapeError(f"shapes {' and '.join(map(_show, shapes))} do not broadcast: {result[k]} against {size} on axis {k - rank}") from None
    return tuple(result)


def _show(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"


_WEAK = (bool, int, float, Size)


def align(*values: Any, floating: bool = False) -> tuple[Tensor, ...]:
    """Tensors of one shape and dtype from tensors, arrays, Python numbers and sizes, by NumPy's rules of broadcasting and
    promotion. Python numbers and sizes are weak. With `floating`, integers and bools become float64."""
    dtype = common_dtype(values)
    if floating and not is_floating(dtype):
        dtype = "float64"
    shapes = [value.shape if isinstance(value, Tensor) else np.shape(value) for value in values]
    try:
        shape = broadcast_shapes(*shapes)
    except ShapeError as error:
        raise ShapeError("\n".join([str(error), *(f"  operand {k}: {describe(value)}" for k, value in enumerate(values))])) from None
    return tuple(_fit(value, shape, dtype) for value in values)


def describe(value: Any) -> str:
    """A value for messages: name, type and the user's line."""
    if not isinstance(value, Tensor):
        return repr(value) if np.size(value) < 5 else f"array of shape {np.shape(value)}"
    source = value.node.provenance.declared.source
    return (f"{value.name!r} " if value.name else "") + str(value.type) + (f" ({source})" if source else "")


def common_dtype(values: Sequence[Any]) -> str:
    """The promoted dtype of tensors and arrays, then of Python numbers and sizes, which are weak."""
    dtype: str | None = None
    for value in values:
        if not isinstance(value, _WEAK):
            own = value.dtype if isinstance(value, Tensor) else as_tensor(value).dtype
            dtype = own if dtype is None else promote(dtype, own)
    for value in values:
        if isinstance(value, _WEAK):
            kind: type = int if isinstance(value, Size) else type(value)
            default = {bool: "bool", int: "int64", float: "float32"}[kind]
            dtype = default if dtype is None else promote_scalar(dtype, kind)
    assert dtype is not None
    return dtype


def _fit(value: Any, shape: Shape, dtype: str) -> Tensor:
    if isinstance(value, _WEAK):
        return full(shape, value, dtype)
    if isinstance(value, Tensor) and value.dtype == dtype and value.shape == shape:
        return value
    tensor = FUNCTIONS["astype"](as_tensor(value), dtype)
    if full_value(tensor) is not None:
        return full(shape, full_value(tensor), dtype)
    result: Tensor = FUNCTIONS["broadcast_to"](tensor, shape)
    return result
