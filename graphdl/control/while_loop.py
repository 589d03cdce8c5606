"""While: a body applied again and again, as long as a condition holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..calculus.jvp import jvp
from ..errors import GradientError, TypeRuleError
from ..formula import Call, Formula
from ..ir import Graph, Node, Tensor, as_tensor, make_node
from ..op import Array, function
from ..ops.elementwise import describe
from ..ops.source import Placeholder, full
from ..record import record
from ..structure import Structure, flatten
from ..types import TensorType, is_floating
from .cond import cond
from .region import NO_TRACE, Region, Trace, Trimmed, check_inputs, check_same, close, evaluate_body, inputs_read, labelled, part_of, substitute
from .scan import check_carry, scan

if TYPE_CHECKING:
    from ..lowering import Lowering


@record
class While(Region):
    """Operands: the initial carries, and tensors that every step reads. Results: the first carries for which the condition fails.

    Both bodies take all operands; `condition` gives a scalar bool, `body` the next carries.
    """

    name: ClassVar[str] = "while"
    regions: ClassVar[tuple[str, ...]] = ("condition", "body")
    condition: Graph
    body: Graph
    carries: int
    trace: Trace = field(default=NO_TRACE, repr=False)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        check_inputs(self.condition, operands, "the condition")
        check_inputs(self.body, operands, "the body")
        if [x.type for x in self.condition.outputs] != [TensorType("bool", ())]:
            raise TypeRuleError(f"the condition gives a scalar bool, not {', '.join(str(x.type) for x in self.condition.outputs)}")
        for k, (before, after) in enumerate(zip(operands[: self.carries], self.body.outputs, strict=True)):
            check_same(after.type, before, f"the next value of carry {k}")
        return operands[: self.carries]

    def run(self, sizes: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
        state, captured = list(operands[: self.carries]), operands[self.carries :]
        while evaluate_body(self.condition, [*state, *captured], sizes)[0]:
            state = evaluate_body(self.body, [*state, *captured], sizes)
        return tuple(state)

    def trim(self, used: AbstractSet[int]) -> Trimmed:
        """All carries stay, as the condition may depend on any."""
        every = range(self.carries)
        read = sorted(set(every) | inputs_read(self.condition, [0]) | inputs_read(self.body, every))
        if len(read) == len(self.body.inputs):
            return Trimmed(self, read, every)
        condition, body = part_of(self.condition, [0], read), part_of(self.body, every, read)
        return Trimmed(replace(self, condition=condition, body=body), read, every)

    def vjp(self, cotangent: Any, output: Any, *operands: Tensor) -> Sequence[Tensor | None]:
        raise GradientError(
            "while: how many steps it takes is not known, so the values that reverse mode needs cannot be kept: give gd.while_loop a max_length, or use gd.jvp"
        )

    def jvp(self, tangents: Sequence[Tensor | None], output: Any, *operands: Tensor) -> Any:
        """The loop of the carries and their tangents together."""
        inputs = self.body.inputs
        moving = [k for k, x in enumerate(inputs) if is_floating(x.dtype) and (k < self.carries or tangents[k] is not None)]
        state = [k for k in moving if k < self.carries]
        seeds = {k: Placeholder(f"d{k}", inputs[k].dtype, inputs[k].shape)() for k in moving}
        pushed = substitute(jvp([self.body.outputs[k] for k in state], [inputs[k] for k in moving], list(seeds.values())), self.trace.copies)
        given = {k: tangent if (tangent := tangents[k]) is not None else full(inputs[k].shape, 0, inputs[k].dtype) for k in moving}
        bound = {x: y for body in (self.condition, self.body) for x, y in zip(body.inputs[self.carries :], operands[self.carries :], strict=True)}
        bound |= {seeds[k]: given[k] for k in moving if k >= self.carries}
        same = dict(zip(self.condition.inputs[: self.carries], inputs[: self.carries], strict=True))
        condition = substitute(self.condition.outputs, same)
        own = labelled(c=[*inputs[: self.carries], *(seeds[k] for k in state)])
        closed = close([condition, [*self.body.outputs, *pushed]], own, bound, before=self.trace)
        op = While(closed.bodies[0], closed.bodies[1], len(own), closed.trace)
        results = make_node(op, [*operands[: self.carries], *(given[k] for k in state), *closed.captured]).outputs
        found = dict(zip(state, results[self.carries :], strict=True))
        answers = tuple(found.get(k) for k in range(self.carries))
        return answers if isinstance(output, tuple) else answers[0]

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return Call("while", operands[: self.carries])

    def lower_steps(self, lowering: Lowering, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        lowering.control.repeat(self, outputs, operands)


@function
def while_loop(condition: Callable[[Any], Any], body: Callable[[Any], Any], init: Any, max_length: Any = None) -> Any:
    """Apply `carry = body(carry)` from `init` on as long as condition(carry), a scalar bool, is true; returns the last carry.

    The carry is a tensor or a nested tuple, list or dict of tensors. Both functions are called once, to declare the bodies, and
    may use any tensors from outside. Random numbers drawn inside are the same in every step unless `max_length` is given.
    With `max_length`, an int or a symbolic size, the loop ends after so many steps at the latest, and has gradients.

    Raises TypeRuleError or ShapeError where the carry changes its structure or types; GradientError for reverse
    differentiation without `max_length`.
    """
    leaves, form = flatten(init)
    inits = [as_tensor(leaf) for leaf in leaves]
    if max_length is not None:
        return _bounded(condition, body, form.unflatten(inits), max_length)
    carries = [Placeholder(f"c{k}", x.dtype, x.shape)() for k, x in enumerate(inits)]
    holds = _predicate(condition(form.unflatten(carries)))
    following, found = flatten(body(form.unflatten(carries)))
    tensors = [as_tensor(leaf) for leaf in following]
    check_carry("while_loop", form, found, inits, tensors)
    closed = close([[holds], tensors], labelled(c=carries))
    if not carries:
        raise TypeRuleError("while_loop: there is no carry, so the condition cannot change")
    op = While(closed.bodies[0], closed.bodies[1], len(carries), closed.trace)
    return form.unflatten(make_node(op, [*inits, *closed.captured]).outputs)


def _predicate(value: Any) -> Tensor:
    tensor = as_tensor(value)
    if tensor.type != TensorType("bool", ()):
        raise TypeRuleError(f"while_loop: the condition gives a scalar bool, not {describe(tensor)}")
    return tensor


def _bounded(condition: Callable[[Any], Any], body: Callable[[Any], Any], init: Any, length: Any) -> Any:
    """A scan whose steps do nothing once the condition has failed."""
    _, form = flatten(init)

    def step(state: tuple[Tensor, Any], _: None) -> tuple[tuple[Tensor, Any], None]:
        going, carry = state
        following = cond(going, lambda *leaves: _checked(form, leaves, body), lambda *leaves: tuple(leaves), *flatten(carry)[0])
        carry = form.unflatten(following)
        return (going & _predicate(condition(carry)), carry), None

    (_, carry), _ = scan(step, (_predicate(condition(init)), init), length=length)
    return carry


def _checked(form: Structure, leaves: Sequence[Tensor], body: Callable[[Any], Any]) -> tuple[Tensor, ...]:
    """The next carry's leaves. Raises where it is not like the carry."""
    following, found = flatten(body(form.unflatten(leaves)))
    tensors = tuple(as_tensor(leaf) for leaf in following)
    check_carry("while_loop", form, found, leaves, tensors)
    return tensors
