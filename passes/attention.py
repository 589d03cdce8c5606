"""Attention in pieces: what lies above the diagonal is not computed, and no more weights are held than fit the caches.

attention(q, k, v)  ->  concatenate over blocks of attention(q[from:to], k[:to], v[:to])
attention(q, k, v)  ->  scan(q, k, v) over the batch or its heads { attention }

The same is done to its gradient, which then computes the weights of a piece again instead of having kept those of all
(Dao et al. 2022, section 3.1). A gradient is recognised by declaring it once more: equal nodes are one object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

from graphdl.control.scan import scan
from graphdl.ir import Graph, Node, Tensor, told_later
from graphdl.ir.graph import topological_order
from graphdl.ops.attention import Attention
from graphdl.ops.join import concatenate
from graphdl.ops.pad import pad
from graphdl.ops.shape import broadcast_to, reshape
from graphdl.ops.slicing import slice_axis
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import Replacement, replace_groups
from graphdl.sizes import Dim, product
from graphdl.types import Shape

BLOCK = 128  # queries of the smallest block
BLOCKS = 8  # at most: from here on little more is left out, and every block is code of its own
LARGEST = 1 << 20  # weights of one piece: what is computed from them then finds them in the caches
LEAST = 1 << 17  # weights of one step of a loop, so that starting its kernels costs little beside
LEAST_HELD = 1 << 14  # the same where all weights would be held for the gradient and take more memory than what they come from


@record
class AttentionPieces(Pass):
    """Attention and its gradient by blocks of queries and in loops over batch and heads, unless the graph reads all of the weights."""

    name: ClassVar[str] = "attention"
    phase: ClassVar[str] = "specialise"
    rank: ClassVar[int] = 80

    def run(self, graph: Graph) -> Graph:
        with told_later():  # what is declared once more to be recognised knows what it knew
            found = [one for node in graph.nodes if isinstance(node.op, Attention) for one in _replacements(graph, node, node.op)]
        return replace_groups(graph, found, self.name) if found else graph


def _replacements(graph: Graph, node: Node, op: Attention) -> Iterator[Replacement]:
    """What takes the places of an attention and of its gradient; nothing if it is small, or if all of the weights are read anyway."""
    if op.dropout or op.offset:
        return
    gradient = _gradient(graph, node, op)
    pieces = Pieces(op, node.operands, gradient is not None)
    if not pieces.loop and len(pieces.blocks) == 1:
        return
    if _reads_weights(graph, op.weights(*node.operands), gradient) or (gradient and max(gradient.wanted) > 2):
        return
    yield Replacement((node.output,), node.operands, lambda given: pieces.each(pieces.forward, given, [node.output.shape]))
    if gradient:
        needed, shapes = (*node.operands, gradient.cotangent, node.output), [tensor.shape for tensor in gradient.results]
        yield Replacement(gradient.results, needed, lambda given: pieces.each(partial(pieces.backward, gradient.wanted), given, shapes))


def _reads_weights(graph: Graph, weights: Tensor, gradient: _Gradient | None) -> bool:
    """Whether more than the gradient reads all of the weights."""
    own = set(topological_order(gradient.results)) if gradient else set()
    return any(tensor is weights for tensor in graph.outputs) or not set(graph.users.get(weights.node, ())) <= own


@record
class _Gradient:
    """The cotangent of an attention's output, and the gradients that the graph has: by which operands, and the tensors."""

    cotangent: Tensor
    wanted: tuple[int, ...]
    results: tuple[Tensor, ...]


def _gradient(graph: Graph, node: Node, op: Attention) -> _Gradient | None:
    """The gradient is found by a reader that multiplies the output with the cotangent."""
    for user in graph.users[node]:
        for cotangent in user.operands:
            if cotangent is node.output or cotangent.type != node.output.type or user.op.name != "multiply":
                continue
            by_operands = op.vjp(cotangent, node.output, *node.operands)
            found = {k: tensor for k, tensor in enumerate(by_operands) if tensor is not None and tensor.node in graph.users}
            if found:
                return _Gradient(cotangent, tuple(found), tuple(found.values()))
    return None


@record
class _Block:
    """Queries from `start` on, which see the first `seen` keys."""

    start: int
    count: Dim
    seen: Dim


class Pieces:
    """How an attention over these operands is cut: in a loop over batch or heads, or in none, and that by blocks of queries."""

    def __init__(self, op: Attention, operands: Sequence[Tensor], has_gradient: bool) -> None:
        query, key, value = operands[:3]
        self.op = op
        self.least = LEAST_HELD if has_gradient and _is_larger(key.shape[-2], 2 * (query.shape[-1] + value.shape[-1])) else LEAST
        self.lead = query.shape[:-3]
        self.heads, self.groups, self.length, self.keys = query.shape[-3], key.shape[-3], query.shape[-2], key.shape[-2]
        self.loop = self._loop()
        self.blocks = list(self._blocks())

    def _loop(self) -> str:
        """Over what the loop goes: the least that makes pieces small enough; nothing if all is small or of unknown size."""
        of_head = product((self.length, self.keys))
        of_batch, everything = self.heads * of_head, product((*self.lead, self.heads, of_head))
        if not isinstance(of_batch, int) or not isinstance(self.groups, int) or (isinstance(everything, int) and everything <= LARGEST):
            return ""
        if of_batch > LARGEST and self.groups > 1:
            return "heads"
        return "batch" if of_batch >= self.least and product(self.lead) != 1 else ""

    def _blocks(self) -> Iterator[_Block]:
        length, keys = self.length, self.keys
        is_causal = self.op.is_causal and length == keys
        if not isinstance(length, int) or not isinstance(keys, int) or not (length * keys > LARGEST or (is_causal and length >= 2 * BLOCK)):
            yield _Block(0, length, keys)
            return
        rows = max(BLOCK, -(-length // BLOCKS)) if is_causal else max(BLOCK, LARGEST // keys)
        for start in range(0, length, rows):
            count = min(rows, length - start)
            yield _Block(start, count, start + count if is_causal else keys)

    # -- the loop -----------------------------------------------------------------------------------------------

    def each(self, body: Callable[[Sequence[Tensor]], Sequence[Tensor]], tensors: Sequence[Tensor], shapes: Sequence[Shape]) -> Sequence[Tensor]:
        """`body` on the tensors, or on each of their pieces in turn; results have the `shapes`. A mask is the fourth tensor."""
        if not self.loop:
            return body(tensors)
        folded = [self._folded_mask(x) if k == 3 and self.op.masked else self._folded(x) for k, x in enumerate(tensors)]
        count = folded[0].shape[0]
        varying = [k for k, x in enumerate(folded) if x.ndim == 4]

        def step(_: None, elements: Sequence[Tensor]) -> tuple[None, list[Tensor]]:
            here = dict(zip(varying, elements, strict=True))
            return None, list(body([here.get(k, x) for k, x in enumerate(folded)]))

        _, stacked = scan(step, None, [folded[k] for k in varying], length=count)
        return [reshape(x, shape) for x, shape in zip(stacked, shapes, strict=True)]

    def _folded(self, x: Tensor) -> Tensor:
        """(..., H, L, E) as (steps, heads of a step, L, E)."""
        parts = self.groups if self.loop == "heads" else 1
        return reshape(x, (product(self.lead) * parts, x.shape[-3] // parts, *x.shape[-2:]))

    def _folded_mask(self, mask: Tensor) -> Tensor:
        """A mask that is the same in all steps without an axis of steps, any other with one."""
        by_heads = self.loop == "heads"
        if all(size == 1 for size in mask.shape[: -2 if by_heads else -3]):
            return reshape(mask, mask.shape[-3:])
        return self._folded(broadcast_to(mask, (*self.lead, self.heads if by_heads else mask.shape[-3], *mask.shape[-2:])))

    # -- a piece ------------------------------------------------------------------------------------------------

    def forward(self, operands: Sequence[Tensor]) -> Sequence[Tensor]:
        """The attention of a piece."""
        return [_joined([self._op(block)(*self._operands(block, operands)) for block in self.blocks])]

    def backward(self, wanted: Sequence[int], tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The gradient of a piece by the operands `wanted`, from the operands, the cotangent and the output."""
        *operands, cotangent, output = tensors
        found = []
        for block in self.blocks:
            given = [_rows(x, block) for x in (cotangent, output)]
            found.append(self._op(block).vjp(*given, *self._operands(block, operands)))
        return [self._collected([by_operand[k] for by_operand in found], by_query=k == 0) for k in wanted]

    def _op(self, block: _Block) -> Attention:
        return replace(self.op, offset=block.start) if self.op.is_causal and block.start else self.op

    def _operands(self, block: _Block, operands: Sequence[Tensor]) -> list[Tensor]:
        query, key, value, *mask = operands
        return [_rows(query, block), _first(key, -2, block.seen), _first(value, -2, block.seen), *(_cut_mask(x, block) for x in mask)]

    def _collected(self, parts: Sequence[Tensor | None], by_query: bool) -> Tensor:
        """The blocks' gradients by the query beside each other, those by key and value added up."""
        found = [part for part in parts if part is not None]
        if by_query:
            return _joined(found)
        total, *others = (_lengthened(part, self.keys) for part in found)
        for part in others:
            total = total + part
        return total


def _is_larger(one: Dim, other: Dim) -> bool:
    return isinstance(one, int) and isinstance(other, int) and one > other


def _rows(x: Tensor, block: _Block) -> Tensor:
    return x if x.shape[-2] == block.count else slice_axis(x, x.ndim - 2, block.start, block.count)


def _first(x: Tensor, axis: int, count: Dim) -> Tensor:
    return x if x.shape[axis] == count else slice_axis(x, x.ndim + axis, 0, count)


def _cut_mask(mask: Tensor, block: _Block) -> Tensor:
    """The part of a mask for a block; axes of size 1 stay."""
    rows = mask if mask.shape[-2] == 1 else _rows(mask, block)
    return rows if mask.shape[-1] == 1 else _first(rows, -1, block.seen)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else concatenate(parts, parts[0].ndim - 2)


def _lengthened(x: Tensor, length: Dim) -> Tensor:
    return x if x.shape[-2] == length else pad(x, [*[(0, 0)] * (x.ndim - 2), (0, length - x.shape[-2]), (0, 0)])
