"""Cond: one of two bodies, chosen when the program runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..calculus.jvp import jvp
from ..calculus.vjp import cotangents_of
from ..errors import ShapeError, TypeRuleError
from ..formula import Call, Formula, Indexed, Number, bracketed
from ..ir import Graph, Node, Tensor, as_tensor, make_node
from ..op import Array, function
from ..ops.elementwise import describe
from ..ops.source import Placeholder, full
from ..record import record
from ..structure import flatten
from ..types import TensorType, is_floating
from .region import NO_TRACE, Region, Trace, Trimmed, check_inputs, check_same, close, evaluate_body, inputs_read, labelled, numbered, part_of, substitute

if TYPE_CHECKING:
    from ..lowering import Lowering


@record
class Cond(Region):
    """Operands: a scalar bool, and the tensors that the bodies take. Results: those of `then` where it is true, else of `otherwise`."""

    name: ClassVar[str] = "cond"
    regions: ClassVar[tuple[str, ...]] = ("then", "otherwise")
    then: Graph
    otherwise: Graph
    trace: Trace = field(default=NO_TRACE, repr=False)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        predicate, *given = operands
        if predicate != TensorType("bool", ()):
            raise TypeRuleError(f"the predicate is a scalar bool, not {predicate}: gd.where chooses element by element")
        for name, body in (("then", self.then), ("otherwise", self.otherwise)):
            check_inputs(body, given, f"the body {name}")
        for k, (one, other) in enumerate(zip(self.then.outputs, self.otherwise.outputs, strict=True)):
            check_same(other.type, one.type, f"result {k} of the second body")
        return tuple(x.type for x in self.then.outputs)

    def run(self, sizes: Mapping[str, int], *operands: Array) -> tuple[Array, ...]:
        return tuple(evaluate_body(self.then if operands[0] else self.otherwise, operands[1:], sizes))

    def trim(self, used: AbstractSet[int]) -> Trimmed:
        kept, read = sorted(used), sorted(inputs_read(self.then, used) | inputs_read(self.otherwise, used))
        if len(kept) == len(self.then.outputs) and len(read) == len(self.then.inputs):
            return Trimmed(self, range(len(read) + 1), kept)
        then, otherwise = (part_of(body, kept, read) for body in (self.then, self.otherwise))
        return Trimmed(replace(self, then=then, otherwise=otherwise), [0, *(k + 1 for k in read)], kept)

    def vjp(self, cotangent: Any, output: Any, *operands: Tensor) -> Sequence[Tensor | None]:
        predicate, *given = operands
        cotangents = cotangent if isinstance(cotangent, tuple) else (cotangent,)
        seeds = [Placeholder(f"d{k}", x.dtype, x.shape)() for k, x in enumerate(cotangents) if is_floating(x.dtype)]
        wanted = [k for k, x in enumerate(given) if is_floating(x.dtype)]

        def pulled(body: Graph) -> list[Tensor]:
            sums = cotangents_of([x for x in body.outputs if is_floating(x.dtype)], [body.inputs[k] for k in wanted], seeds)
            return [sums.get(body.inputs[k], full(given[k].shape, 0, given[k].dtype)) for k in wanted]

        found = self._derived(pulled, predicate, given, seeds, [x for x in cotangents if is_floating(x.dtype)])
        answers = dict(zip(wanted, found, strict=True))
        return [None, *(answers.get(k) for k in range(len(given)))]

    def jvp(self, tangents: Sequence[Tensor | None], output: Any, *operands: Tensor) -> Any:
        predicate, *given = operands
        moving = [(k, x) for k, x in enumerate(tangents[1:]) if x is not None]
        seeds = [Placeholder(f"d{k}", x.dtype, x.shape)() for k, x in moving]

        def pushed(body: Graph) -> list[Tensor]:
            return jvp([x for x in body.outputs if is_floating(x.dtype)], [body.inputs[k] for k, _ in moving], seeds)

        found = iter(self._derived(pushed, predicate, given, seeds, [x for _, x in moving]))
        results = tuple(next(found) if is_floating(x.dtype) else None for x in self.then.outputs)
        return results if isinstance(output, tuple) else results[0]

    def _derived(
        self, rule: Callable[[Graph], list[Tensor]], predicate: Tensor, given: Sequence[Tensor], seeds: Sequence[Tensor], outer: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """The cond of both bodies' derivatives, whose `seeds` stand for `outer` tensors. They compute the bodies' values again."""
        since = numbered()
        ends = [substitute(rule(body), self.trace.copies) for body in (self.then, self.otherwise)]
        if not ends[0]:
            return ()
        bound = {x: y for body in (self.then, self.otherwise) for x, y in zip(body.inputs, given, strict=True)}
        return _declare(predicate, ends, {**bound, **dict(zip(seeds, outer, strict=True))}, since, self.trace)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        predicate, *given = operands
        sides = [self._told(body, given) for body in (self.then, self.otherwise)]
        return Call("cond", (predicate, *(side[0] if len(side) == 1 else bracketed(side) for side in sides)))

    @staticmethod
    def _told(body: Graph, given: Sequence[Formula]) -> list[Formula]:
        """The formulas of a body's results."""
        known = dict(zip(body.inputs, given, strict=True))
        for node in body.nodes:
            if all(x in known for x in node.outputs):
                continue
            whole = node.op.formula(node, *(known[operand] for operand in node.operands))
            known.update({x: whole if len(node.outputs) == 1 else Indexed(whole, (Number(str(x.index)),)) for x in node.outputs})
        return [known[x] for x in body.outputs]

    def lower_steps(self, lowering: Lowering, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        lowering.control.cond(self, outputs, operands)


def _declare(predicate: Tensor, ends: Sequence[Sequence[Tensor]], bound: Mapping[Tensor, Tensor], since: int, before: Trace) -> tuple[Tensor, ...]:
    """The cond of bodies that compute `ends` from placeholders, which stand for the tensors that `bound` gives."""
    closed = close(ends, labelled(x=list(bound)), before=before, since=since)
    op = Cond(closed.bodies[0], closed.bodies[1], closed.trace)
    return make_node(op, [predicate, *bound.values(), *closed.captured]).outputs


@function
def cond(predicate: Any, then: Callable[..., Any], otherwise: Callable[..., Any], *operands: Any) -> Any:
    """then(*operands) where the scalar bool `predicate` is true when the program runs, else otherwise(*operands).

    Only the chosen body is computed. Both functions are called once, to declare the bodies, and may use any tensors from
    outside; operands and results are tensors or nested tuples, lists and dicts of tensors. Results must be alike in both.
    Raises TypeRuleError or ShapeError otherwise, and for a predicate that is no scalar bool.
    """
    leaves, form = flatten(operands)
    given = [as_tensor(leaf) for leaf in leaves]
    since = numbered()
    inner = [Placeholder(f"x{k}", x.dtype, x.shape)() for k, x in enumerate(given)]
    answers = [flatten(fn(*form.unflatten(inner))) for fn in (then, otherwise)]
    ends = [[as_tensor(leaf) for leaf in leaves] for leaves, _ in answers]
    result = answers[0][1]
    if result != answers[1][1]:
        raise TypeRuleError(f"cond: the first function returns {result}, the second {answers[1][1]}: both must return the same structure")
    for path, one, other in zip(result.paths("result"), *ends, strict=True):
        try:
            check_same(other.type, one.type, path)
        except (ShapeError, TypeRuleError) as error:
            raise type(error)(f"cond: {path} is {describe(one)} from the first function, but {describe(other)} from the second") from None
    if not ends[0]:
        return result.unflatten([])
    return result.unflatten(_declare(as_tensor(predicate), ends, dict(zip(inner, given, strict=True)), since, NO_TRACE))
