"""How the elements of a reduction are combined: what is held before the first, with each element, and at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphdl.kernel.expression import identity
from graphdl.record import record
from graphdl.types import is_floating

from ..llvm import I1, I64, Function, Type, Value
from .registers import REGISTER
from .scalar import emit_scalar

_COMBINE = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


@record
class Combination:
    """How one kind of reduction starts and goes on, for one dtype. Arg-reductions hold a value and an index."""

    kind: str
    dtype: str

    @property
    def is_arg(self) -> bool:
        return self.kind in ("argmax", "argmin")

    @property
    def register(self) -> Type:
        return REGISTER[self.dtype]

    @property
    def identity(self) -> Value:
        return self.register.const(identity(self.kind.removeprefix("arg"), self.dtype))

    def start(self, f: Function, lanes: int) -> list[Value]:
        """Nothing yet: for arg-reductions the first element's index, which stays if nothing is more extreme than the identity."""
        nothing = f.splat(self.identity, lanes)
        return [nothing, I64.with_lanes(lanes).const(0)] if self.is_arg else [nothing]

    def follow(self, f: Function, held: list[Value], element: list[Value]) -> list[Value]:
        """What is held with the next element: of equal extremes the earlier one stays."""
        return self.join(f, held, element, self._ahead(f, element[0], held[0]) if self.is_arg else None)

    def follow_some(self, f: Function, held: list[Value], element: list[Value], mask: Value) -> list[Value]:
        """What is held with the next elements of those lanes that are on."""
        joined = self.follow(f, held, element)
        return [f.select(mask, new, old) for new, old in zip(joined, held, strict=True)]

    def join(self, f: Function, left: list[Value], right: list[Value], better: Value | None = None) -> list[Value]:
        """The two parts as one; of equal extremes the one with the smaller index stays."""
        if not self.is_arg:
            return [emit_scalar(f, _COMBINE[self.kind], self.dtype, self.dtype, [left[0], right[0]])]
        better = better or self._better(f, left, right)
        return [f.select(better, b, a) for a, b in zip(left, right, strict=True)]

    def fold(self, f: Function, parts: list[Value]) -> list[Value]:
        """The lanes of a vector combined pairwise, halves first."""
        while (lanes := parts[0].type.lanes) > 1:
            low, high = halves(f, parts, lanes)
            parts = self.join(f, low, high)
        return [f.extract(part, 0) if part.type.lanes else part for part in parts]

    def _better(self, f: Function, left: list[Value], right: list[Value]) -> Value:
        """Whether `right` replaces `left`: it is more extreme (NaN is the most), or equal and earlier."""
        (a, i), (b, j) = left, right
        ahead, behind = self._ahead(f, b, a), self._ahead(f, a, b)
        tie = f.bit_xor(f.bit_or(ahead, behind), ahead.type.const(True))
        return f.bit_or(ahead, f.bit_and(tie, f.compare("ult", j, i)))

    def _ahead(self, f: Function, x: Value, y: Value) -> Value:
        larger = emit_scalar(f, "greater" if self.kind == "argmax" else "less", "bool", self.dtype, [x, y])
        if not x.type.is_float:
            return larger
        x_nan, y_nan = f.compare("uno", x, x), f.compare("uno", y, y)
        return f.bit_or(larger, f.bit_and(x_nan, f.bit_xor(y_nan, y_nan.type.const(True))))


@record
class Extremum(Combination):
    """The maximum or minimum of floats in lanes: the extremum without regard to NaN, and whether one was seen.

    One comparison tells whether any of two numbers is NaN, so a `paired` vector is tested by half as many instructions.
    """

    paired: bool

    def start(self, f: Function, lanes: int) -> list[Value]:
        return [*super().start(f, lanes), I1.with_lanes(lanes // 2 if self.paired else lanes).const(False)]

    def follow(self, f: Function, held: list[Value], element: list[Value]) -> list[Value]:
        (x,) = element
        tested = halves(f, [x], x.type.lanes) if self.paired else ([x], [x])
        unordered = f.compare("uno", tested[0][0], tested[1][0])
        return [self._extreme(f, held[0], x), f.bit_or(held[1], unordered)]

    def follow_some(self, f: Function, held: list[Value], element: list[Value], mask: Value) -> list[Value]:
        return self.follow(f, held, [f.select(mask, element[0], f.splat(self.identity, element[0].type.lanes))])

    def fold(self, f: Function, parts: list[Value]) -> list[Value]:
        extreme, seen = parts
        while (lanes := extreme.type.lanes) > 1:
            (low,), (high,) = halves(f, [extreme], lanes)
            extreme = self._extreme(f, low, high)
        seen = f.intrinsic("vector.reduce.or", I1, seen, overload=[seen.type])
        return [f.select(seen, self.register.const(float("nan")), f.extract(extreme, 0))]

    def _extreme(self, f: Function, x: Value, y: Value) -> Value:
        """One instruction: of equal numbers, and where any is NaN, the second."""
        return f.select(f.compare("ogt" if self.kind == "max" else "olt", x, y), x, y)


@record
class Several(Combination):
    """Several reductions of one kind side by side, each as `one` goes; none finds an index."""

    one: Combination
    count: int

    def start(self, f: Function, lanes: int) -> list[Value]:
        return [value for _ in range(self.count) for value in self.one.start(f, lanes)]

    def follow(self, f: Function, held: list[Value], element: list[Value]) -> list[Value]:
        return self._each(held, element, lambda a, b: self.one.follow(f, a, b))

    def follow_some(self, f: Function, held: list[Value], element: list[Value], mask: Value) -> list[Value]:
        return self._each(held, element, lambda a, b: self.one.follow_some(f, a, b, mask))

    def join(self, f: Function, left: list[Value], right: list[Value], better: Value | None = None) -> list[Value]:
        return self._each(left, right, lambda a, b: self.one.join(f, a, b))

    def fold(self, f: Function, parts: list[Value]) -> list[Value]:
        return self._each(parts, parts, lambda a, _: self.one.fold(f, a))

    def _each(self, left: list[Value], right: list[Value], step: Callable[[list[Value], list[Value]], list[Value]]) -> list[Value]:
        pairs = zip(self._apart(left), self._apart(right), strict=True)
        return [value for a, b in pairs for value in step(a, b)]

    def _apart(self, values: list[Value]) -> list[list[Value]]:
        width = len(values) // self.count
        return [values[k : k + width] for k in range(0, len(values), width)]


def lane_combination(kind: str, dtype: str, registers: int, *, has_masks: bool) -> Combination:
    """The combination for elements that come in so many registers of lanes."""
    if has_masks and kind in ("max", "min") and is_floating(dtype):
        return Extremum(kind, dtype, paired=registers > 1)
    return Combination(kind, dtype)


def halves(f: Function, parts: Sequence[Value], lanes: int) -> tuple[list[Value], list[Value]]:
    """The lower and the upper lanes of vectors."""
    middle = lanes // 2
    return [f.shuffle(x, x, range(middle)) for x in parts], [f.shuffle(x, x, range(middle, lanes)) for x in parts]
