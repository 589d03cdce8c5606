"""One node's scalar expression on ranges: what conditions tell of their branches, and which differences have a sign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from ..ir import Node, Tensor
from ..kernel.expression import Axis, Const, Expr, Guard, Index, IndexValue, Reduce, Scalar, Variable, fresh_axes, variable
from ..record import record
from ..sizes import Dim, SymbolAtom, as_size, atoms_of, evaluate, symbols_of, terms_of
from ..types import TensorType, is_floating
from .ranges import ANY, BOOLEAN, INF, Range, exactly, intersect, made, multiply, negate, square, total, union
from .transfer import COMPARISONS, DOMAINS, TRANSFER

Bounds = tuple[float, float, bool]  # lower, upper, and whether 0 is left
_REFINED: dict[str, Callable[[Range], tuple[Bounds | None, Bounds | None]]] = {
    "greater": lambda y: ((y.lower, INF, not y.lower >= 0), (-INF, y.upper, True)),
    "greater_equal": lambda y: ((y.lower, INF, True), (-INF, y.upper, not y.upper <= 0)),
    "less": lambda y: ((-INF, y.upper, not y.upper <= 0), (y.lower, INF, True)),
    "less_equal": lambda y: ((-INF, y.upper, True), (y.lower, INF, not y.lower >= 0)),
    "equal": lambda y: ((y.lower, y.upper, True), (-INF, INF, False) if y.number == 0 else None),
    "not_equal": lambda y: ((-INF, INF, False) if y.number == 0 else None, (y.lower, y.upper, True)),
}  # fmt: skip
_FLIPPED = {"greater": "less", "less": "greater", "greater_equal": "less_equal", "less_equal": "greater_equal", "equal": "equal", "not_equal": "not_equal"}


class Env:
    """What a condition tells of expressions, by their numbers, and the ranges found under it."""

    def __init__(self, known: dict[int, Range] | None = None) -> None:
        self.known = known or {}
        self.found = dict(self.known)


@record
class Hazard:
    """A place where `function` can leave its domain."""

    node: Node
    function: str
    text: str


class Found(Protocol):
    """What is known of the nodes before."""

    ranges: dict[Tensor, Range]
    extremes: dict[Tensor, tuple[str, Tensor]]
    roots: dict[Node, Expr]
    multiples: dict[Tensor, tuple[Tensor, float]]
    hazards: list[Hazard]


def _least(size: Dim) -> float:
    """The least value of a size whose symbols are all at least 1: a polynomial that only grows is least where they are 1."""
    grows = all(coefficient >= 0 and all(isinstance(atom, SymbolAtom) for atom in monomial) for monomial, coefficient in terms_of(size))
    return float(evaluate(size, dict.fromkeys(symbols_of(size), 1))) if grows else 1.0


class Reader:
    """One node's scalar expression over the elements of its operands."""

    def __init__(self, analysis: Found, node: Node) -> None:
        self.analysis, self.node = analysis, node
        self.leaves: list[Tensor] = []
        self._known: dict[tuple[Tensor, Index], Expr] = {}
        index = tuple(as_size(axis) for axis in fresh_axes(node.output.shape))
        self.root: Expr = node.op.lower(node.output.type, index, *(_Access(self, operand) for operand in node.operands))

    def element(self, tensor: Tensor, index: Index) -> Expr:
        """A variable for an element; conditions are read down to what they compare."""
        op = tensor.node.op
        if tensor.dtype == "bool" and op.pattern in ("pointwise", "injective"):
            found: Expr = op.lower(tensor.type, index, *(_Access(self, operand) for operand in tensor.node.operands))
            return found
        if (tensor, index) not in self._known:
            self._known[tensor, index] = variable(len(self.leaves), tensor.dtype)
            self.leaves.append(tensor)
        return self._known[tensor, index]

    def evaluate(self, x: Expr, env: Env) -> Range:
        """The range of `x` under `env`."""
        if x.number not in env.found:
            env.found[x.number] = self._evaluate(x, env)
        return env.found[x.number]

    def _evaluate(self, x: Expr, env: Env) -> Range:
        if isinstance(x, Const):
            return ANY if x.value != x.value else exactly(float(x.value))
        if isinstance(x, Variable):
            return self.analysis.ranges[self.leaves[x.position]]
        if isinstance(x, IndexValue):
            return made(0.0, INF) if any(isinstance(atom, Axis) for atom in atoms_of(x.index)) else made(_least(x.index), INF)
        if isinstance(x, Guard):
            return replace(union(self.evaluate(x.body, env), self.evaluate(x.otherwise, env)), masked=False)
        if isinstance(x, Reduce):
            return self._reduce(x, env)
        assert isinstance(x, Scalar)
        if x.function == "select":
            return self._select(x, env)
        related = self._related(x)
        if related is not None:
            return related
        return self._apply(x, [self.evaluate(operand, env) for operand in x.operands])

    def _apply(self, x: Scalar, operands: list[Range]) -> Range:
        leaves = DOMAINS.get(x.function)
        text = leaves(*operands) if leaves and is_floating(x.dtype) else None
        if x.function == "multiply" and any(a.masked and b.huge for a, b in (operands, operands[::-1])):
            text = "is 0 times infinity where `where` took the other branch and this one overflows"
        if text:
            self.analysis.hazards.append(Hazard(self.node, x.function, text))
        if x.function in COMPARISONS:
            return BOOLEAN
        if x.function == "cast":
            return operands[0] if is_floating(x.dtype) else replace(operands[0], zero=operands[0].lower < 1 and operands[0].upper > -1, tiny=False)
        multiple = self._multiple(x)
        if multiple is not None:
            return square(operands[0]) if multiple == 1 else multiply(exactly(multiple), square(operands[1]))
        transfer = TRANSFER.get(x.function)
        return transfer(*operands) if transfer else ANY

    def _multiple(self, x: Scalar) -> float | None:
        """How many times the second operand of a product the first is."""
        if x.function != "multiply":
            return None
        first, second = x.operands
        if first is second:
            return 1.0
        if not isinstance(first, Variable) or not isinstance(second, Variable):
            return None
        (a, m), (b, n) = (self.analysis.multiples.get(self.leaves[k.position], (self.leaves[k.position], 1.0)) for k in (first, second))
        return m / n if a is b and n and self._is_at_one_place(first, second) else None

    def _is_at_one_place(self, x: Variable, y: Variable) -> bool:
        """Whether both are read at the same index."""
        at = {self._known[key].number: key[1] for key in self._known}
        return at[x.number] == at[y.number]

    def _reduce(self, x: Reduce, env: Env) -> Range:
        body = self.evaluate(x.body, env)
        if x.kind == "sum":
            return total(body)
        if x.kind == "prod":
            return made(0.0, INF, body.may_be_zero) if body.lower >= 0 else ANY
        if x.kind in ("argmax", "argmin"):
            return made(0.0, INF)
        return BOOLEAN if x.dtype == "bool" else body

    def _select(self, x: Scalar, env: Env) -> Range:
        condition, then, otherwise = x.operands
        yes, no = self._refine(condition, env)
        first, second = self.evaluate(then, yes), self.evaluate(otherwise, no)
        found = union(first, second)
        is_masked = (first.number == 0) != (second.number == 0) and self._is_chosen()
        return replace(found, masked=True) if is_masked else found

    def _is_chosen(self) -> bool:
        """Whether the node is a `where` with a condition of its own, or the derivative of one. A relu chooses by its only operand."""
        known = self.node.provenance
        chosen = [x for x in known.origins if x.number < self.node.number] if known.is_derived else [self.node]
        roots = [self.root if x is self.node else self.analysis.roots.get(x) for x in chosen if len(x.operands) > 1]
        return any(isinstance(root, Scalar) and root.function == "select" for root in roots)

    def _refine(self, condition: Expr, env: Env) -> tuple[Env, Env]:
        """What is known besides where `condition` holds, and where it does not."""
        if isinstance(condition, Scalar) and condition.function == "bit_not":
            holds, fails = self._refine(condition.operands[0], env)
            return fails, holds
        if isinstance(condition, Scalar) and condition.function == "bit_and":
            return self._refine(condition.operands[1], self._refine(condition.operands[0], env)[0])[0], env
        if isinstance(condition, Scalar) and condition.function == "bit_or":
            return env, self._refine(condition.operands[1], self._refine(condition.operands[0], env)[1])[1]
        if not isinstance(condition, Scalar) or condition.function not in _REFINED:
            return env, env
        left, right = condition.operands
        yes, no = dict(env.known), dict(env.known)
        for name, x, y in ((condition.function, left, right), (_FLIPPED[condition.function], right, left)):
            if not isinstance(x, Const):
                for known, bounds in zip((yes, no), _REFINED[name](self.evaluate(y, env)), strict=True):
                    if bounds is not None:
                        known[x.number] = intersect(self.evaluate(x, env), *bounds)
        return Env(yes), Env(no)

    def _related(self, x: Scalar) -> Range | None:
        """x - max(x) is at most 0, and 0 somewhere; x == max(x) holds somewhere."""
        if x.function not in ("subtract", "equal"):
            return None
        left, right = x.operands
        if x.function == "equal":
            return replace(BOOLEAN, top=1.0) if self._is_extreme(left, right) or self._is_extreme(right, left) else None
        kind = self._is_extreme(left, right)
        if kind:
            return made(-INF, 0.0, top=0.0) if kind == "max" else made(0.0, INF)
        kind = self._is_extreme(right, left)
        return None if kind is None else made(0.0, INF) if kind == "max" else negate(made(0.0, INF))

    def _is_extreme(self, x: Expr, of: Expr) -> str | None:
        """Whether `of` is the maximum or minimum of x."""
        of = _unless_infinite(of)
        if isinstance(of, Reduce) and of.kind in ("max", "min"):
            return of.kind if self._is_same(x, of.body) else None
        if isinstance(x, Variable) and isinstance(of, Variable):
            kind, source = self.analysis.extremes.get(self.leaves[of.position], ("", None))
            return kind if source is not None and source is self.leaves[x.position] else None
        return None

    def _is_same(self, x: Expr, y: Expr) -> bool:
        """Whether two expressions are equal but for where they read."""
        if isinstance(x, Variable) and isinstance(y, Variable):
            return self.leaves[x.position] is self.leaves[y.position]
        if isinstance(x, Scalar) and isinstance(y, Scalar):
            return x.function == y.function and all(map(self._is_same, x.operands, y.operands))
        return x is y


def _unless_infinite(x: Expr) -> Expr:
    """y of `select(y == inf, other, y)`: inputs are finite."""
    if isinstance(x, Scalar) and x.function == "select":
        condition, _, otherwise = x.operands
        if isinstance(condition, Scalar) and condition.function == "equal" and isinstance(condition.operands[1], Const):
            return otherwise if abs(condition.operands[1].value) == INF and condition.operands[0] is otherwise else x
    return x


class _Access:
    """How an op reads an operand while its expression is written."""

    def __init__(self, reader: Reader, tensor: Tensor) -> None:
        self.tensor = tensor
        self.type: TensorType = tensor.type
        self.read = partial(reader.element, tensor)

    def __call__(self, index: Index) -> Expr:
        return self.read(index)
