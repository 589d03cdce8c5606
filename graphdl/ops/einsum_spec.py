"""The grammar of einsum and the order in which many operands are contracted."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Sequence

from ..errors import TypeRuleError
from ..sizes import Dim, product
from ..types import Shape
from .elementwise import broadcast_shapes


def resolve(spec: str, shapes: Sequence[Shape]) -> tuple[list[str], str, list[tuple[Shape, Shape]]]:
    """The labels of every operand and of the result with ellipses replaced by free letters, and for every operand the shape
    to reshape it to and the shape to broadcast it to, so that ellipses of several operands agree.

    Raises TypeRuleError for a spec outside the grammar or that does not fit the ranks.
    """
    text = spec.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    _check(spec, inputs, right, shapes)
    ranks = [len(shape) - len(labels.replace("...", "")) if "..." in labels else 0 for labels, shape in zip(inputs, shapes, strict=True)]
    widest = max(ranks, default=0)
    free = [letter for letter in string.ascii_letters if letter not in text][:widest]
    hidden = "".join(free)
    if arrow and hidden and "..." not in right:
        raise TypeRuleError(f"einsum: {spec!r} has '...' in an operand and not in the result: write it there, or label the axes and leave them out")
    spread = broadcast_shapes(*(_hidden_shape(labels, shape, rank) for labels, shape, rank in zip(inputs, shapes, ranks, strict=True)))
    output = right.replace("...", hidden) if arrow else hidden + _implicit(left)
    fitted = [_fit(labels, shape, rank, spread) for labels, shape, rank in zip(inputs, shapes, ranks, strict=True)]
    return [labels.replace("...", hidden) for labels in inputs], output, fitted


def _implicit(left: str) -> str:
    """The labels that come once, in alphabetical order."""
    return "".join(sorted(label for label in set(left) - {",", "."} if left.count(label) == 1))


def _hidden_shape(labels: str, shape: Shape, rank: int) -> Shape:
    at = labels.find("...")
    return shape[at : at + rank] if at >= 0 else ()


def _fit(labels: str, shape: Shape, rank: int, spread: Shape) -> tuple[Shape, Shape]:
    at = labels.find("...")
    if at < 0:
        return shape, shape
    ones = (1,) * (len(spread) - rank)
    return (*shape[:at], *ones, *shape[at:]), (*shape[:at], *spread, *shape[at + rank :])


def _check(spec: str, inputs: Sequence[str], output: str, shapes: Sequence[Shape]) -> None:
    if not shapes or len(inputs) != len(shapes):
        raise TypeRuleError(f"einsum: {spec!r} names {len(inputs)} operands, {len(shapes)} are given")
    for labels in (*inputs, output):
        letters = labels.replace("...", "", 1)
        if letters and not (letters.isascii() and letters.isalpha()):
            raise TypeRuleError(f"einsum: {labels!r} in {spec!r} is not made of letters and at most one '...'")
    for labels, shape in zip(inputs, shapes, strict=True):
        letters = labels.replace("...", "")
        if len(letters) > len(shape) or ("..." not in labels and len(letters) < len(shape)):
            raise TypeRuleError(f"einsum: {labels!r} in {spec!r} names {len(letters)} axes of an operand with {len(shape)}")
    unknown = set(output) - set("".join(inputs)) - {"."}
    if unknown or len(set(output.replace("...", ""))) < len(output.replace("...", "")):
        raise TypeRuleError(f"einsum: the result's labels {output!r} in {spec!r} repeat or are in no operand")


def plan(inputs: Sequence[str], output: str, shapes: Sequence[Shape]) -> Iterator[tuple[tuple[int, int], str]]:
    """Pairs of positions to contract, each with the labels that stay, until two operands are left.

    The result of a pair is appended to the operands. Greedy by the size of the result where all sizes are ints,
    as in NumPy's `einsum_path`; else from the left.
    """
    labels = list(inputs)
    sizes: dict[str, Dim] = {label: size for names, shape in zip(inputs, shapes, strict=True) for label, size in zip(names, shape, strict=True)}
    known = all(isinstance(size, int) for size in sizes.values())
    while len(labels) > 2:
        pairs = list(itertools.combinations(range(len(labels)), 2)) if known else [(0, 1)]
        results = {pair: _kept(labels, pair, output) for pair in pairs}
        best = min(pairs, key=lambda pair: int(product(sizes[label] for label in results[pair]))) if known else pairs[0]
        kept = results[best]
        labels = [names for k, names in enumerate(labels) if k not in best] + [kept]
        yield best, kept


def _kept(labels: Sequence[str], pair: tuple[int, int], output: str) -> str:
    """The labels of a pair that the result or another operand still needs."""
    needed = output + "".join(names for k, names in enumerate(labels) if k not in pair)
    return "".join(dict.fromkeys(label for k in pair for label in labels[k] if label in needed))
