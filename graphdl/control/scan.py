"""Scan: a body applied to every element of sequences in turn, with values carried from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError, TypeRuleError
from ..formula import Call, Formula
from ..ir import Graph, Node, Tensor, as_tensor, make_node
from ..ir.recurrence import Recurrence
from ..op import Array, function
from ..ops.elementwise import describe
from ..ops.source import Placeholder
from ..record import record
from ..sizes import Dim, bind
from ..structure import Structure, flatten
from ..types import Shape, TensorType, as_dim, numpy_dtype
from .randomness import draw_anew
from .region import NO_TRACE, Region, Trace, Trimmed, check_inputs, check_same, close, evaluate_body, inputs_read, labelled, numbered, part_of
from .scan_derivative import pull_back, push_forward

if TYPE_CHECKING:
    from ..lowering import Lowering


@record
class Scan(Region):
    """Operands: the initial carries, sequences whose leading axis has `length`, and tensors that every step reads.

    The body takes the carries, one element of each sequence and the tensors; it gives the next carries and one element of
    each stacked result. Results: the last carries, then the stacked results. With `reverse` the steps go from the last
    element to the first; results are stacked in the places of the elements.
    """

    name: ClassVar[str] = "scan"
    regions: ClassVar[tuple[str, ...]] = ("body",)
    body: Graph
    carries: int
    sequences: int
    length: Dim
    reverse: bool = False
    trace: Trace = field(default=NO_TRACE, repr=False)

    def split(self, operands: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Operands, or the body's inputs, as carries, sequences and the rest."""
        first = self.carries + self.sequences
        return operands[: self.carries], operands[self.carries : first], operands[first:]

    @property
    def stacked(self) -> tuple[Tensor, ...]:
        """The body's outputs that are stacked."""
        return self.body.outputs[self.carries :]

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        carries, sequences, captured = self.split(operands)
        elements = [self._element(k, x) for k, x in enumerate(sequences)]
        check_inputs(self.body, [*carries, *elements, *captured], "the body")
        for tensor, output in zip(self.body.inputs, self.body.outputs[: self.carries], strict=False):
            check_same(output.type, tensor.type, f"the next value of carry {tensor.name}")
        return (*carries, *(x.type.with_shape((self.length, *x.shape)) for x in self.stacked))

    def _element(self, position: int, x: TensorType) -> TensorType:
        if not x.rank:
            raise ShapeError(f"sequence {position} is {x}, which has no leading axis to go along")
        unify(x.shape[0], self.length, f"the leading axis of sequence {position} and the length")
        return x.with_shape(x.shape[1:])

    def run(self, sizes: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
        carries, sequences, captured = self.split(operands)
        length = bind(self.length, sizes)
        assert isinstance(length, int)
        state = list(carries)
        stacks = [np.empty((length, *_bound(x.shape, sizes)), numpy_dtype(x.dtype)) for x in self.stacked]
        for t in reversed(range(length)) if self.reverse else range(length):
            found = evaluate_body(self.body, [*state, *(x[t] for x in sequences), *captured], sizes)
            state = found[: self.carries]
            for stack, element in zip(stacks, found[self.carries :], strict=True):
                stack[t] = element
        return (*state, *stacks)

    def trim(self, used: AbstractSet[int]) -> Trimmed:
        """Carries stay as long as a used result depends on them."""
        outputs = set(used)
        while True:
            inputs = inputs_read(self.body, outputs)
            carries = {k for k in inputs if k < self.carries}
            if carries <= outputs:
                break
            outputs |= carries
        inputs |= {k for k in outputs if k < self.carries}
        kept, read = sorted(outputs), sorted(inputs)
        if len(kept) == len(self.body.outputs) and len(read) == len(self.body.inputs):
            return Trimmed(self, read, kept)
        count = sum(k < self.carries for k in read)
        sequences = sum(k < self.carries + self.sequences for k in read) - count
        return Trimmed(replace(self, body=part_of(self.body, kept, read), carries=count, sequences=sequences), read, kept)

    def vjp(self, cotangent: Any, output: Any, *operands: Tensor) -> Sequence[Tensor | None]:
        return pull_back(self, _tuple(cotangent), operands)

    def jvp(self, tangents: Sequence[Tensor | None], output: Any, *operands: Tensor) -> Any:
        found = push_forward(self, tangents, operands)
        return found if isinstance(output, tuple) else found[0]

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return Call("scan", operands[: self.carries + self.sequences])

    @property
    def recurrence(self) -> Recurrence:
        return Recurrence(self.body, self.carries, self.sequences, self.length, self.reverse)

    def lower_steps(self, lowering: Lowering, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        lowering.control.scan(self, outputs, operands)


def _tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def _bound(shape: Shape, sizes: Mapping[str, int]) -> tuple[Any, ...]:
    return tuple(bind(size, sizes) for size in shape)


# -- declaring ------------------------------------------------------------------------------------------------------


@function
def scan(fn: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: Any = None, reverse: bool = False) -> tuple[Any, Any]:
    """Apply `carry, y = fn(carry, x)` along the leading axis of `xs`, from `init` on; returns the last carry and the stacked ys.

    `init`, `xs` and the ys are tensors or tuples, lists and dicts of tensors, to any depth, or None. All of `xs` have one
    leading size, which may be symbolic, and zero at a call; without `xs`, `length` tells the number of steps. With `reverse`
    the last element comes first. `fn` is called once, to declare the body, and may use any tensors from outside. It runs as a
    native loop, forwards and, for gradients, backwards: time to compile and size of the code do not depend on the length.
    Random numbers drawn inside are new in every step.

    Raises TypeRuleError or ShapeError where the carry that `fn` returns is not like `init`, or `xs` do not fit each other.
    """
    inits, carry_form = _tensors(init)
    sequences, element_form = _tensors(xs)
    steps = _length(sequences, length)
    since = numbered()
    carries = [Placeholder(f"c{k}", x.dtype, x.shape)() for k, x in enumerate(inits)]
    elements = [Placeholder(f"x{k}", x.dtype, x.shape[1:])() for k, x in enumerate(sequences)]
    answer = fn(carry_form.unflatten(carries), element_form.unflatten(elements))
    if not _is_pair(answer):
        raise TypeRuleError(f"scan: the function must return a pair (carry, y), not {type(answer).__name__}: y may be None")
    following, form = _tensors(answer[0])
    check_carry("scan", carry_form, form, inits, following)
    stacked, result_form = _tensors(answer[1])
    if not following and not stacked:
        return carry_form.unflatten([]), result_form.unflatten([])
    drawn = draw_anew([*following, *stacked], steps, since)
    elements += drawn.elements
    closed = close([drawn.ends], labelled(c=carries, x=elements))
    op = Scan(closed.bodies[0], len(carries), len(elements), steps, bool(reverse), closed.trace)
    results = make_node(op, [*inits, *sequences, *drawn.sequences, *closed.captured]).outputs
    return carry_form.unflatten(results[: len(carries)]), result_form.unflatten(results[len(carries) :])


def _is_pair(answer: object) -> bool:
    return isinstance(answer, tuple) and len(answer) == 2


def _tensors(value: Any) -> tuple[list[Tensor], Structure]:
    leaves, structure = flatten(value)
    return [as_tensor(leaf) for leaf in leaves], structure


def _length(sequences: Sequence[Tensor], length: Any) -> Dim:
    if not sequences and length is None:
        raise ShapeError("scan: there are no xs, so give the length")
    if any(not x.shape for x in sequences):
        raise ShapeError(f"scan: {describe(next(x for x in sequences if not x.shape))} has no leading axis to scan along")
    sizes = [x.shape[0] for x in sequences] + ([] if length is None else [as_dim(length)])
    for x, size in zip(sequences, sizes, strict=False):
        try:
            unify(sizes[-1], size, "the leading axis")
        except ShapeError:
            last = describe(sequences[-1]) if length is None else f"the length {sizes[-1]}"
            raise ShapeError(f"scan: the leading axis of {describe(x)} does not agree with {last}") from None
    return sizes[-1]


def check_carry(name: str, form: Structure, found: Structure, inits: Sequence[Tensor], following: Sequence[Tensor]) -> None:
    """Raises TypeRuleError or ShapeError, with the place in the structure and the user's lines, unless both carries are alike."""
    if form != found:
        raise TypeRuleError(f"{name}: the carry goes in as {form}, but the function returns {found}: it must keep its structure")
    for path, before, after in zip(form.paths("carry"), inits, following, strict=True):
        try:
            check_same(after.type, before.type, path)
        except (ShapeError, TypeRuleError) as error:
            mend = f": cast it with .astype({before.dtype!r}), or start from {after.dtype}" if after.dtype != before.dtype else ""
            raise type(error)(f"{name}: {path} goes in as {describe(before)}, but the function returns {describe(after)}{mend}") from None
