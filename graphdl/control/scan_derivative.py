"""Derivatives of scans. Both modes give a scan whose body is the derivative of the body.

What that needs of the forward values is stacked by a scan like the forward one with more results; the pass `scans` makes one
of both. In reverse mode cotangents are carried from the last step to the first (back-propagation through time).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..calculus.jvp import jvp
from ..calculus.vjp import cotangents_of
from ..ir import Graph, Tensor, make_node
from ..ops.source import Placeholder, full, full_value
from ..record import record
from ..types import is_floating
from .partition import kept_values
from .region import close, labelled, substitute
from .summation import Deferred, defer

if TYPE_CHECKING:
    from .scan import Scan


def pull_back(op: Scan, cotangents: Sequence[Tensor], operands: Sequence[Tensor]) -> list[Tensor | None]:
    """The cotangents of a scan's operands."""
    return _Reverse(op, cotangents, operands).run()


def push_forward(op: Scan, tangents: Sequence[Tensor | None], operands: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """The tangents of a scan's results."""
    return _Forward(op, tangents, operands).run()


@record
class _Part:
    """Placeholders of a derivative's body and the outer tensors that they stand for."""

    inner: list[Tensor]
    outer: list[Tensor]


class _Derivative:
    """What both modes share: the derivative's body as graph over the forward one, cut from it and closed."""

    def __init__(self, op: Scan, operands: Sequence[Tensor]) -> None:
        self.op, self.operands = op, operands
        self.carries, self.sequences, self.captured = op.split(op.body.inputs)
        _, self.outer_sequences, self.outer_captured = op.split(operands)
        self.constant: Sequence[Tensor] = ()  # placeholders of the derivative that are the same in every step

    def loop(
        self, carries: _Part, sequences: _Part, ends: Sequence[Tensor], factors: Sequence[Tensor], *, reverse: bool
    ) -> tuple[tuple[Tensor, ...], dict[Tensor, Tensor]]:
        """The scan that computes `ends`, first the next carries. Returns its results, and the stacked forms of `factors`."""
        op = self.op
        fresh = [*carries.inner, *sequences.inner, *self.constant]
        results = make_node(op, self.operands).outputs[op.carries :]
        known = dict(zip((*op.stacked, *self.sequences), (*results, *self.outer_sequences), strict=True))
        kept = kept_values([*ends, *factors], fresh, [*self.carries, *self.sequences], known)
        if kept:
            known |= self._keep(kept)
        count = len(carries.inner)
        extra = [x for x in factors if x not in known and x not in set(ends[count:])]
        read = _read_at_border([*ends, *extra], fresh, known)
        elements = [*sequences.inner, *read]
        bound = dict(zip(self.captured, self.outer_captured, strict=True))
        closed = close([[*ends, *extra]], labelled(c=carries.inner, x=elements), bound, before=op.trace)
        made = type(op)(closed.bodies[0], count, len(elements), op.length, reverse, closed.trace)
        results = make_node(made, [*carries.outer, *sequences.outer, *(known[x] for x in read), *closed.captured]).outputs
        return results, known | dict(zip([*ends[count:], *extra], results[count:], strict=True))

    def _keep(self, kept: Sequence[Tensor]) -> dict[Tensor, Tensor]:
        """The stacked forms of `kept`, from a scan that computes the forward one's results too."""
        op = self.op
        body = Graph([*op.body.outputs, *kept], op.body.inputs)
        wider = type(op)(body, op.carries, op.sequences, op.length, op.reverse, op.trace)
        stacks = make_node(wider, self.operands).outputs
        return dict(zip([*op.stacked, *kept], stacks[op.carries :], strict=True))


def _read_at_border(ends: Sequence[Tensor], fresh: Sequence[Tensor], known: dict[Tensor, Tensor]) -> list[Tensor]:
    """The tensors of `known` that `ends` read first."""
    fresh_nodes = {tensor.node for tensor in fresh}
    found: dict[Tensor, None] = {}
    seen = set()
    stack = list(ends)
    while stack:
        tensor = stack.pop()
        if tensor in known:
            found[tensor] = None
        elif tensor.node not in seen and tensor.node not in fresh_nodes:
            seen.add(tensor.node)
            stack.extend(tensor.node.operands)
    return sorted(found, key=lambda one: (one.node.number, one.index))


def _fresh(like: Sequence[Tensor], label: str) -> list[Tensor]:
    return [Placeholder(f"{label}{k}", x.dtype, x.shape)() for k, x in enumerate(like)]


def _zeros(like: Sequence[Tensor]) -> list[Tensor]:
    return [full(x.shape, 0, x.dtype) for x in like]


def _floating(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor for tensor in tensors if is_floating(tensor.dtype)]


class _Reverse(_Derivative):
    """Reverse mode: the carries are the cotangents of the forward carries, and sums for the tensors that every step reads."""

    def __init__(self, op: Scan, cotangents: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        super().__init__(op, operands)
        moving = [k for k, x in enumerate(self.carries) if is_floating(x.dtype)]
        given = [k for k, x in enumerate(cotangents) if k >= op.carries and is_floating(x.dtype) and full_value(x) != 0]
        self.moving = [self.carries[k] for k in moving]
        self.ends = [op.body.outputs[k] for k in (*moving, *given)]
        self.state = _Part(_fresh(self.moving, "d"), [cotangents[k] for k in moving])
        self.seeds = _Part(_fresh([op.body.outputs[k] for k in given], "e"), [cotangents[k] for k in given])

    def run(self) -> list[Tensor | None]:
        targets = [*self.moving, *_floating(self.sequences), *_floating(self.captured)]
        pulled = self._pulled(targets)
        following = [pulled.get(x, zero) for x, zero in zip(self.moving, _zeros(self.moving), strict=True)]
        elements = [x for x in self.sequences if x in pulled]
        totals = [self._deferred(x, pulled[x]) for x in self.captured if x in pulled]
        rests = [(x.of, x.rest) for x in totals if x.rest is not None]
        sums = _fresh([of for of, _ in rests], "s")
        carries = _Part([*self.state.inner, *sums], [*self.state.outer, *_zeros(sums)])
        ends = [*following, *(one + rest for one, (_, rest) in zip(sums, rests, strict=True)), *(pulled[x] for x in elements)]
        factors = list(dict.fromkeys(factor for x in totals for factor in x.factors))
        results, stacked = self.loop(carries, self.seeds, ends, factors, reverse=not self.op.reverse)
        found = dict(zip([*self.moving, *(of for of, _ in rests), *elements], results, strict=False))
        found |= {x.of: x.total(stacked, found.get(x.of)) for x in totals}
        return [found.get(x) for x in self.op.body.inputs]

    def _deferred(self, of: Tensor, contribution: Tensor) -> Deferred:
        return defer(of, contribution, [*self.carries, *self.sequences, *self.state.inner, *self.seeds.inner])

    def _pulled(self, targets: Sequence[Tensor]) -> dict[Tensor, Tensor]:
        """The cotangents of the body's inputs, in terms of the body's own tensors."""
        sums = cotangents_of(self.ends, targets, [*self.state.inner, *self.seeds.inner])
        reached = [x for x in targets if x in sums]
        return dict(zip(reached, substitute([sums[x] for x in reached], self.op.trace.copies), strict=True))


class _Forward(_Derivative):
    """Forward mode: the carries are the tangents of the forward carries."""

    def __init__(self, op: Scan, tangents: Sequence[Tensor | None], operands: Sequence[Tensor]) -> None:
        super().__init__(op, operands)
        self.moving = _floating(self.carries)
        self.tangents = dict(zip(op.body.inputs, tangents, strict=True))

    def run(self) -> tuple[Tensor | None, ...]:
        op = self.op
        elements = [x for x in self.sequences if self.tangents[x] is not None]
        constant = [x for x in self.captured if self.tangents[x] is not None]
        starts = [self._given(x) if self._given(x) is not None else full(x.shape, 0, x.dtype) for x in self.moving]
        state = _Part(_fresh(self.moving, "d"), starts)
        moved = _Part(_fresh(elements, "e"), [self._given(x) for x in elements])
        bound = _Part(_fresh(constant, "f"), [self._given(x) for x in constant])
        outputs = [x for x in op.body.outputs if is_floating(x.dtype)]
        pushed = jvp(outputs, [*self.moving, *elements, *constant], [*state.inner, *moved.inner, *bound.inner])
        self.constant = bound.inner
        self.captured = [*self.captured, *bound.inner]
        self.outer_captured = [*self.outer_captured, *bound.outer]
        results, _ = self.loop(state, moved, substitute(pushed, op.trace.copies), [], reverse=op.reverse)
        found = iter(results)
        return tuple(next(found) if is_floating(x.dtype) else None for x in op.body.outputs)

    def _given(self, tensor: Tensor) -> Any:
        return self.tangents[tensor]
