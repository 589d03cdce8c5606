"""Resize and Upsample: every axis by itself, as a weighted sum of a few taps at places that the modes decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import FormatError, ShapeError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...op import normalize_axis
from ...ops.indexing import take
from ...ops.resize import repeat_nearest
from ...ops.select import where
from ...ops.shape import reshape
from ...ops.source import constant, full
from ...record import record
from ...sizes import Dim, divides
from ...types import is_floating, numpy_dtype
from ..registry import Call, translates

WIDE = "float64"  # places are computed in it, so that rounding chooses the same taps for any size


@record
class _Axis:
    """How one axis is resized: its sizes before and after, the scale, and the part of it that is kept (tf_crop_and_resize)."""

    old: Dim
    new: Dim
    scale: float | None  # None where it is new / old
    roi: tuple[float, float]

    def number(self, value: Dim | float) -> Tensor:
        return full((), value, WIDE)

    @property
    def ratio(self) -> Tensor:
        """The scale as a tensor."""
        return self.number(self.new) / self.number(self.old) if self.scale is None else self.number(self.scale)

    @property
    def reach(self) -> Tensor:
        """The new size, before rounding."""
        return self.number(self.new) if self.scale is None else self.ratio * self.number(self.old)

    @property
    def shrinking(self) -> float:
        """The scale, at most 1, as a number: how many taps smoothing takes depends on it. Raises ShapeError."""
        if self.scale is None and not (isinstance(self.new, int) and isinstance(self.old, int)):
            raise ShapeError("antialias needs sizes or scales that are numbers")
        return min(1.0, self.scale if self.scale is not None else int(self.new) / int(self.old))


@translates("Resize")
def _resize(call: Call, x: Tensor, *inputs: Tensor | None) -> Tensor:
    # Opset 10 has scales only and works as `asymmetric` with `floor`; `axes`, `antialias` and `keep_aspect_ratio_policy` since opset 18.
    old = call.opset < 11
    roi = None if old or call.attribute("coordinate_transformation_mode", "") != "tf_crop_and_resize" else call.numbers(1, "the roi")
    scales = call.numbers(1 if old else 2, "the scales")
    wanted = call.sizes(call[3], "the sizes") if call.has(3) else None
    axes = [normalize_axis(axis, x.ndim) for axis in call.attribute("axes", range(x.ndim))]
    for axis, plan in zip(axes, _plans(call, x, axes, scales, wanted, roi), strict=True):
        if not (plan.old == plan.new and plan.scale in (None, 1.0) and plan.roi == (0.0, 1.0)):
            x = _resized(call, x, axis, plan, _Modes.of(call, old=old))
    return x


@translates("Upsample")
def _upsample(call: Call, x: Tensor, scales: Tensor | None = None) -> Tensor:
    # The scales are an attribute before opset 9.
    listed = np.array(call.attributes["scales"]) if "scales" in call.attributes else call.numbers(1, "the scales")
    modes = _Modes(call.attribute("mode", "nearest"), "asymmetric", "floor", -0.75, outside=False, smooth=False, filler=0.0)
    for axis, plan in enumerate(_plans(call, x, list(range(x.ndim)), listed, None, None)):
        x = x if plan.scale == 1 else _resized(call, x, axis, plan, modes)
    return x


def _plans(call: Call, x: Tensor, axes: Sequence[int], scales: Any, wanted: Sequence[Dim] | None, roi: Any) -> list[_Axis]:
    count = len(axes)
    parts = [(0.0, 1.0)] * count if roi is None or roi.size == 0 else [(float(roi[k]), float(roi[k + count])) for k in range(count)]
    sizes = [x.shape[axis] for axis in axes]
    if wanted:
        return [_Axis(old, new, scale, part) for (old, new, scale), part in zip(_fitted(call, sizes, wanted), parts, strict=True)]
    if scales is None or scales.size != count:
        raise FormatError(f"there must be {count} scales or sizes, one for each of the axes {list(axes)}")
    return [_Axis(size, scaled_size(size, float(scale)), float(scale), part) for size, scale, part in zip(sizes, scales.reshape(-1), parts, strict=True)]


def _fitted(call: Call, sizes: Sequence[Dim], wanted: Sequence[Dim]) -> list[tuple[Dim, Dim, float | None]]:
    """Old size, new size and scale of every axis; `keep_aspect_ratio_policy` makes all scales one."""
    policy = call.attribute("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return [(old, new, None) for old, new in zip(sizes, wanted, strict=True)]
    if not all(isinstance(size, int) for size in (*sizes, *wanted)):
        raise ShapeError("keep_aspect_ratio_policy needs sizes that are numbers")
    each = [int(new) / int(old) for old, new in zip(sizes, wanted, strict=True)]
    scale = min(each) if policy == "not_larger" else max(each)
    return [(old, int(scale * int(old) + 0.5), scale) for old in sizes]


def scaled_size(size: Dim, scale: float) -> Dim:
    """floor(size * scale)."""
    if scale <= 0:
        raise FormatError(f"the scale {scale} is not positive")
    if isinstance(size, int):
        return int(np.floor(size * scale))
    exact = Fraction(scale).limit_denominator(1000)
    return size * exact.numerator // exact.denominator


@record
class _Modes:
    """The options of interpolation."""

    kind: str
    places: str
    rounding: str
    cubic: float
    outside: bool  # taps outside get no weight, instead of the outermost element
    smooth: bool
    filler: float

    @staticmethod
    def of(call: Call, *, old: bool) -> _Modes:
        places = "asymmetric" if old else call.attribute("coordinate_transformation_mode", "half_pixel")
        rounding = "floor" if old else call.attribute("nearest_mode", "round_prefer_floor")
        outside, smooth = bool(call.attribute("exclude_outside", 0)), bool(call.attribute("antialias", 0))
        options = call.attribute("cubic_coeff_a", -0.75), outside, smooth, call.attribute("extrapolation_value", 0.0)
        return _Modes(call.attribute("mode", "nearest"), places, rounding, *options)


def _resized(call: Call, x: Tensor, axis: int, plan: _Axis, modes: _Modes) -> Tensor:
    """x with one axis resized."""
    if modes.kind == "nearest" and _is_repetition(plan, modes):
        return repeat_nearest(x, plan.new, axis) if is_floating(x.dtype) else repeat_nearest(x.astype(WIDE), plan.new, axis).astype(x.dtype)
    place = _settled(call, _places(plan, modes.places))
    if modes.kind == "nearest":
        found = take(x, _clamped(_ROUNDINGS[modes.rounding](place), plan.old), axis)
    else:
        found = _interpolated(x if is_floating(x.dtype) else x.astype("float32"), axis, place, plan, modes)
    if modes.places == "tf_crop_and_resize":
        inside = _along((place >= 0) & (place <= plan.number(plan.old) - 1), axis, x.ndim)
        found = where(inside, found, full((), modes.filler, found.dtype))
    return found if found.dtype == x.dtype else _saturated(found, x.dtype)


def _saturated(x: Tensor, dtype: str) -> Tensor:
    limits = np.iinfo(numpy_dtype(dtype))
    return FUNCTIONS["clip"](x, float(limits.min), float(limits.max)).astype(dtype)


def _is_repetition(plan: _Axis, modes: _Modes) -> bool:
    """Whether every element is repeated equally often."""
    times = divides(plan.old, plan.new) if plan.scale is None else plan.scale
    if not isinstance(times, int | float) or times != int(times) or times < 1:
        return False
    if modes.places == "asymmetric":
        return modes.rounding == "floor" or (modes.rounding == "round_prefer_floor" and times == 2)
    return modes.places in ("half_pixel", "half_pixel_symmetric") and modes.rounding.startswith("round")


def _places(plan: _Axis, mode: str) -> Tensor:
    """Where every new element lies among the old ones."""
    new = FUNCTIONS["arange"](plan.new, WIDE)
    if mode not in _PLACES:
        raise FormatError(f"coordinate_transformation_mode {mode!r} is not one of {', '.join(_PLACES)}")
    return _PLACES[mode](new, plan)


def _settled(call: Call, place: Tensor) -> Tensor:
    """The places as numbers where all sizes are: else they would be computed for every element that is read."""
    known = call.known(place)
    return place if known is None or known.dtype == object else constant(known.astype(WIDE))


def _half_pixel(new: Tensor, plan: _Axis) -> Tensor:
    return (new + 0.5) / plan.ratio - 0.5


def _pytorch_half_pixel(new: Tensor, plan: _Axis) -> Tensor:
    return where(plan.reach == 1, -0.5, _half_pixel(new, plan))


def _symmetric(new: Tensor, plan: _Axis) -> Tensor:
    return plan.number(plan.old) / 2 * (1 - plan.number(plan.new) / plan.reach) + _half_pixel(new, plan)


def _aligned(new: Tensor, plan: _Axis) -> Tensor:
    return where(plan.reach == 1, 0.0, new * (plan.number(plan.old) - 1) / where(plan.reach == 1, 1.0, plan.reach - 1))


def _cropped(new: Tensor, plan: _Axis) -> Tensor:
    first, last = plan.roi
    width = (plan.number(plan.old) - 1) * (last - first)
    apart = where(plan.reach == 1, width / 2, new * width / where(plan.reach == 1, 1.0, plan.reach - 1))
    return apart + (plan.number(plan.old) - 1) * first


_PLACES: dict[str, Callable[[Tensor, _Axis], Tensor]] = {
    "half_pixel": _half_pixel, "half_pixel_symmetric": _symmetric, "pytorch_half_pixel": _pytorch_half_pixel, "align_corners": _aligned,
    "asymmetric": lambda new, plan: new / plan.ratio, "tf_crop_and_resize": _cropped, "tf_half_pixel_for_nn": lambda new, plan: (new + 0.5) / plan.ratio,
}  # fmt: skip
_ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "round_prefer_floor": lambda x: FUNCTIONS["ceil"](x - 0.5), "round_prefer_ceil": lambda x: FUNCTIONS["floor"](x + 0.5),
    "floor": FUNCTIONS["floor"], "ceil": FUNCTIONS["ceil"],
}  # fmt: skip


def _clamped(place: Tensor, size: Dim) -> Tensor:
    return FUNCTIONS["clip"](place.astype("int64"), 0, full((), size - 1, "int64"))


def _along(x: Tensor, axis: int, rank: int) -> Tensor:
    return reshape(x, (x.shape[0], *[1] * (rank - axis - 1)))


def _interpolated(x: Tensor, axis: int, place: Tensor, plan: _Axis, modes: _Modes) -> Tensor:
    """The weighted sum of the taps around every place."""
    low = FUNCTIONS["floor"](place)
    rest = place - low
    shrinking = plan.shrinking if modes.smooth else 1.0
    radius = 1 if modes.kind == "linear" else 2
    first = int(np.floor(-radius / shrinking)) + 1
    kernel = (lambda d: FUNCTIONS["maximum"](1 - abs(d), 0.0)) if modes.kind == "linear" else (lambda d: cubic_weight(d, modes.cubic))
    taps = range(first, 2 - first)
    weights = [kernel((k - rest) * shrinking) for k in taps]
    if modes.smooth:
        weights = _normalised(weights)
    if modes.outside:
        inside = [(low + k >= 0) & (low + k <= plan.number(plan.old) - 1) for k in taps]
        weights = _normalised([where(held, weight, 0.0) for held, weight in zip(inside, weights, strict=True)])
    terms = [take(x, _clamped(low + k, plan.old), axis) * _along(weight.astype(x.dtype), axis, x.ndim) for k, weight in zip(taps, weights, strict=True)]
    return _total(terms)


def _normalised(weights: Sequence[Tensor]) -> list[Tensor]:
    total = _total(weights)
    return [weight / total for weight in weights]


def _total(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def cubic_weight(distance: Tensor, a: float) -> Tensor:
    """Keys 1981, "Cubic convolution interpolation for digital image processing": the weight of a tap at a distance."""
    d = abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return where(d <= 1, near, where(d < 2, far, 0.0))
