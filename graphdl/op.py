"""The base of every op: one class holds its name, type rule, meaning, derivatives, lowering and samples."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import numpy as np

from .errors import IndexOutOfRangeError, ShapeError, TypeRuleError
from .formula import Call, Formula
from .ir import Node, Tensor, make_node
from .ir.node import FUNCTIONS, REGISTRY, tell
from .ir.recurrence import Recurrence
from .kernel.expression import Expr, Index
from .record import record
from .sizes import Dim, Size, bind
from .types import TensorType, numpy_dtype

if TYPE_CHECKING:
    from .lowering import Lowering

Array = np.ndarray[Any, Any]
Access = Callable[[Index], Expr]
F = TypeVar("F", bound=Callable[..., Any])


def function(defined: F) -> F:
    """Make `defined` public: `gd.<name>` and, with a tensor first, `tensor.<name>`. What it refuses is told with its operands and the user's line."""
    name = defined.__name__.rstrip("_")

    @functools.wraps(defined)
    def public(*arguments: Any, **options: Any) -> Any:
        try:
            return defined(*arguments, **options)
        except (ShapeError, TypeRuleError, IndexOutOfRangeError) as error:
            raise tell(error, name, _tensors(arguments)) from None

    FUNCTIONS[name] = public
    return cast(F, public)


def _tensors(arguments: Sequence[Any]) -> list[Tensor]:
    """The tensors among arguments and in lists of them."""
    listed = (one for argument in arguments for one in (argument if isinstance(argument, (list, tuple)) else (argument,)))
    return [one for one in listed if isinstance(one, Tensor)]


@record
class Sample:
    """An op with arrays to try it on; generated tests run every op on its samples.

    `tolerance` widens the comparison of backends for ops whose rounding differs by nature (long sums).
    `differentiable` holds the positions of operands whose gradient is checked; None means all floating ones.
    """

    op: Op
    operands: tuple[Array, ...]
    differentiable: tuple[int, ...] | None = None


class Op:
    """An operation. Subclasses are records whose fields are the attributes; defining one registers it.

    `pattern` tells fusion what the lowering looks like, without naming any op:
      "pointwise"   each output element reads one element of each operand, at the same index
      "injective"   each output element reads at most one element of each operand, anywhere (broadcast, slice, pad ...)
      "reduction"   a Reduce over one operand
      "contraction" a sum of products
      "opaque"      lowers itself into named kernels (`lower_steps`)
    """

    name: ClassVar[str]
    pattern: ClassVar[str] = "opaque"
    is_input: ClassVar[bool] = False
    is_parameter: ClassVar[bool] = False
    is_random: ClassVar[bool] = False
    regions: ClassVar[tuple[str, ...]] = ()  # the fields that are graphs of their own, which passes rewrite like any other
    is_view: ClassVar[bool] = False  # the result is the operand's memory, row by row, under another shape
    has_text: ClassVar[bool] = True  # the printed attributes say all of it; if not, programs are stored with its canonical form
    converts: ClassVar[bool] = False  # it only converts elements to another dtype

    @property
    def joins(self) -> int | None:
        """The axis along which the result is the operands one after another and nothing else; None for another op."""
        return None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            REGISTRY[cls.name] = cls

    # -- declaring ----------------------------------------------------------------------------------------------

    def __call__(self, *operands: Tensor) -> Tensor:
        """The tensor of this op on `operands` (of its first result)."""
        return make_node(self, operands).output

    def infer(self, *operands: TensorType) -> TensorType | tuple[TensorType, ...]:
        """The type rule. Raises ShapeError or TypeRuleError with what would mend it."""
        raise NotImplementedError

    @property
    def attributes(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _attribute_names(type(self))}  # type: ignore[arg-type]

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Op:
        """The op with these attributes, as `attributes` gives and the printer shows them. State starts at zero."""
        return cls(**attributes)

    def bind(self, sizes: Mapping[str, int]) -> Op:
        """This op with the symbolic sizes in its attributes replaced by numbers."""
        bound = {name: _bind(value, sizes) for name, value in self.attributes.items()}
        changed = {name: value for name, value in bound.items() if value is not getattr(self, name)}
        return dataclasses.replace(self, **changed) if changed else self  # type: ignore[type-var]

    # -- meaning ------------------------------------------------------------------------------------------------

    def evaluate(self, *operands: Array) -> Array | tuple[Array, ...]:
        """The result in NumPy. Written independently of the lowering: it is the oracle."""
        raise NotImplementedError

    # -- derivatives --------------------------------------------------------------------------------------------

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        """The cotangents of the operands, as graph. None where the derivative is zero. For ops with several results,
        `cotangent` and `output` are tuples."""
        return [None] * len(operands)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        """The tangent of the result, or of each result. NotImplemented where the op gives no rule of its own: then it is
        the transpose of the transpose, that is vjp differentiated by its cotangent."""
        return NotImplemented  # type: ignore[no-any-return]

    def formula(self, node: Node, *operands: Formula) -> Formula:
        """The op at `node` as mathematics, given its operands' formulas."""
        return Call(self.name, operands)

    @property
    def recurrence(self) -> Recurrence | None:
        """The body that the op runs step by step, if it does that: formulas then tell of one step."""
        return None

    # -- lowering and passes ------------------------------------------------------------------------------------

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        """The expression of the output element at `index`; `operands[k](index)` is an element of operand k."""
        raise NotImplementedError

    def lower_steps(self, lowering: Lowering, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        """For opaque ops: append named kernels that compute `outputs` from materialised `operands`."""
        raise NotImplementedError

    def inference(self, *operands: Tensor) -> Tensor | None:
        """What stands in for this op at inference, or None if it stays."""
        return None

    def expand(self, *operands: Tensor) -> Tensor | None:
        """The same value by other ops, which all backends run in its place; None for ops with a lowering of their own."""
        return None

    def canonical(self, *operands: Tensor) -> Tensor | None:
        """A simpler tensor with the same value, or None. Canonicalisation asks every node."""
        return None

    # -- testing ------------------------------------------------------------------------------------------------

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        """Inputs from which the generated tests are made."""
        return ()


def _bind(value: Any, sizes: Mapping[str, int]) -> Any:
    if isinstance(value, Size):
        return bind(value, sizes)
    if isinstance(value, tuple) and any(isinstance(part, (Size, tuple)) for part in value):
        bound = tuple(_bind(part, sizes) for part in value)
        return value if all(a is b for a, b in zip(bound, value, strict=True)) else bound
    return value


def widens(node: Node) -> bool:
    """Whether a node converts to a wider dtype: what it reads is smaller than what it makes, so that it is best done where it is read."""
    return node.op.converts and numpy_dtype(node.operands[0].dtype).itemsize < numpy_dtype(node.output.dtype).itemsize


@functools.cache
def _attribute_names(kind: Any) -> tuple[str, ...]:
    """The fields of an op that are attributes."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.repr)


def normalize_axis(axis: int, rank: int) -> int:
    """A non-negative axis. Raises ShapeError when it is out of range, TypeRuleError for what is no number."""
    from .errors import ShapeError, TypeRuleError

    if not hasattr(axis, "__index__"):
        raise TypeRuleError(f"an axis is a number from {-rank} to {rank - 1}, not {axis!r}")
    if not -rank <= axis < rank:
        raise ShapeError(f"axis {axis} is out of range for rank {rank}")
    return axis % rank


def normalize_axes(axes: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Sorted non-negative axes without repeats; None means all. Raises ShapeError and TypeRuleError."""
    from .errors import ShapeError

    if axes is None:
        return tuple(range(rank))
    listed = (axes,) if isinstance(axes, int) else tuple(axes)
    found = tuple(sorted(normalize_axis(axis, rank) for axis in listed))
    if len(set(found)) < len(found):
        raise ShapeError(f"axes {listed} repeat")
    return found


def sample_array(*shape: int, dtype: str = "float64", low: float = -2.0, high: float = 2.0, seed: int = 0) -> Array:
    """A reproducible array for samples, away from integers and zero so that derivatives exist."""
    generator = np.random.default_rng(seed + sum(shape))
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if dtype.startswith(("int", "uint")):
        return generator.integers(int(low), int(high) + 1, shape).astype(dtype)
    return generator.uniform(low, high, shape).astype(dtype)


__all__ = ["REGISTRY", "Access", "Array", "Dim", "Op", "Sample", "function", "normalize_axes", "normalize_axis", "sample_array"]
