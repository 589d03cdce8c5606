"""Sums over the steps of a loop: products of two values of each step are summed by one contraction after it.

So the gradient of w in h @ w, which is the sum over t of h[t].T @ dz[t], is one product of the stacked h and dz, with t among the
axes that are summed over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from ..ir import Tensor
from ..op import REGISTRY
from ..ops.einsum import Einsum, contract
from ..ops.matmul import Matmul
from ..ops.shape import Linear, Transpose
from ..record import record
from .region import dependents

Labels = tuple[int, ...]


@record
class Product:
    """The sum of products of two tensors by labelled axes: those that `output` does not name are summed over.

    `moves` come after it, the last one first: they take a sum to the sum of what they make of its terms.
    """

    left: tuple[Tensor, Labels]
    right: tuple[Tensor, Labels]
    output: Labels
    moves: tuple[Linear, ...] = ()

    def over_steps(self, stacked: Mapping[Tensor, Tensor]) -> Tensor:
        """The same, summed over the leading axis of the stacked tensors too."""
        letters = dict(zip(dict.fromkeys((*self.left[1], *self.right[1])), "abcdefghijklmnopqrsuvwxyz", strict=False))
        inputs = ["t" + "".join(letters[label] for label in labels) for _, labels in (self.left, self.right)]
        total = contract(inputs, "".join(letters[label] for label in self.output), [stacked[x] for x, _ in (self.left, self.right)])
        for move in reversed(self.moves):
            total = move(total)
        return total


@record
class Deferred:
    """The contributions of a step to a sum for `of`: `products`, to be summed after the loop, and the `rest`, summed in it."""

    of: Tensor
    products: tuple[Product, ...]
    rest: Tensor | None

    @property
    def factors(self) -> tuple[Tensor, ...]:
        """What must be stacked for the products."""
        return tuple(x for product in self.products for x, _ in (product.left, product.right))

    def total(self, stacked: Mapping[Tensor, Tensor], summed: Tensor | None = None) -> Tensor:
        """The whole sum, given the stacked factors and the sum of the rest."""
        terms = [product.over_steps(stacked) for product in self.products] + ([] if summed is None else [summed])
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


def defer(of: Tensor, contribution: Tensor, roots: Sequence[Tensor]) -> Deferred:
    """Take a step's contribution apart. Factors that do not depend on `roots` cannot be stacked."""
    changing = {tensor for node in dependents([contribution], roots) for tensor in node.outputs} | set(roots)
    products: list[Product] = []
    rest: Tensor | None = None
    for term in _terms(contribution):
        product = _product(term)
        if product is not None and product.left[0] in changing and product.right[0] in changing:
            products.append(product)
        else:
            rest = term if rest is None else rest + term
    return Deferred(of, tuple(products), rest)


def _terms(tensor: Tensor) -> Iterator[Tensor]:
    """The terms of a sum, in order."""
    stack = [tensor]
    while stack:
        one = stack.pop()
        if isinstance(one.node.op, REGISTRY["add"]):
            stack.extend(reversed(one.node.operands))
        else:
            yield one


def _product(term: Tensor) -> Product | None:
    """A term as a product by labels, seen through what moves its elements."""
    moves = []
    while isinstance(term.node.op, Linear) and not isinstance(term.node.op, Transpose):
        moves.append(term.node.op)
        (term,) = term.node.operands
    term, order = _untransposed(term, tuple(range(term.ndim)))
    op = term.node.op
    if isinstance(op, Matmul):
        inputs, output = _matmul_labels(term.ndim)
    elif isinstance(op, Einsum) and len(op.inputs) == 2:
        first, second = (tuple(map(ord, labels)) for labels in op.inputs)
        inputs, output = (first, second), tuple(map(ord, op.output))
    else:
        return None
    left, right = (_untransposed(x, labels) for x, labels in zip(term.node.operands, inputs, strict=True))
    return Product(left, right, tuple(output[axis] for axis in order), tuple(moves))


def _matmul_labels(rank: int) -> tuple[tuple[Labels, Labels], Labels]:
    lead = tuple(range(rank - 2))
    m, k, n = itertools.islice(itertools.count(rank - 2), 3)
    return ((*lead, m, k), (*lead, k, n)), (*lead, m, n)


def _untransposed(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """What x is a transpose of, with the labels in the order of its axes."""
    while isinstance(x.node.op, Transpose):
        labels = tuple(labels[axis] for axis in x.node.op.inverse)
        (x,) = x.node.operands
    return x, labels
