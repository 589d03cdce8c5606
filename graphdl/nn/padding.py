"""Borders around the spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.pad import pad as pad_array
from ..ops.slicing import Slice
from .module import Module

MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """A border around the last axes: `pad` has (before, after) of the last axis, then of the one before it, and so on.

    Modes are constant (`value`, 0 unless given; negative widths cut off), reflect, replicate and circular. Raises TypeRuleError, ShapeError.
    """
    widths = list(zip(pad[::2], pad[1::2], strict=False))[::-1]
    if len(pad) % 2 or len(widths) > input.ndim:
        raise ShapeError(f"pad: {tuple(pad)} must hold a pair for each padded axis of {describe(input)}")
    if mode not in MODES:
        raise TypeRuleError(f"pad: mode {mode!r} is not one of {', '.join(MODES)}")
    pairs = [(0, 0)] * (input.ndim - len(widths)) + [(int(low), int(high)) for low, high in widths]
    if mode == "constant":
        input = _cut(input, pairs)
        pairs = [(max(low, 0), max(high, 0)) for low, high in pairs]
    return pad_array(input, pairs, MODES[mode], value or 0)


def _cut(x: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """x without what negative widths take away."""
    if all(width >= 0 for pair in pairs for width in pair):
        return x
    starts = tuple(max(-low, 0) for low, _ in pairs)
    sizes = tuple(size - start - max(-high, 0) for size, start, (_, high) in zip(x.shape, starts, pairs, strict=True))
    return Slice(starts, sizes, (1,) * x.ndim)(x)


class _Pad(Module):
    count: ClassVar[int]
    mode: ClassVar[str]
    value: float = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        self.padding = (padding,) * (2 * self.count) if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 2 * self.count:
            raise ShapeError(f"{type(self).__name__}: padding {padding} must be a number or {2 * self.count} of them")

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self.count + 1, self.count + 2):
            raise ShapeError(f"{type(self).__name__}: needs an input of {self.count + 1} or {self.count + 2} axes, got {describe(input)}")
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A border of `value` around the last axis: `padding` is (left, right) or one number."""

    count = 1


class ConstantPad2d(_ConstantPad):
    """A border of `value` around the last two axes: `padding` is (left, right, top, bottom) or one number."""

    count = 2


class ZeroPad1d(_Pad):
    """A border of zeros around the last axis: `padding` is (left, right) or one number."""

    count, mode = 1, "constant"


class ZeroPad2d(_Pad):
    """A border of zeros around the last two axes: `padding` is (left, right, top, bottom) or one number."""

    count, mode = 2, "constant"


class ReflectionPad1d(_Pad):
    """The last axis mirrored at its ends, without repeating them."""

    count, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The last two axes mirrored at their ends, without repeating them."""

    count, mode = 2, "reflect"


class ReplicationPad1d(_Pad):
    """The outermost elements of the last axis repeated."""

    count, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The outermost elements of the last two axes repeated."""

    count, mode = 2, "replicate"


class CircularPad1d(_Pad):
    """The last axis continued at each end by the elements of the other."""

    count, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The last two axes continued at each end by the elements of the other."""

    count, mode = 2, "circular"
