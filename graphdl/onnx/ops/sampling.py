"""Images read at computed places: GridSample, RoiAlign, DeformConv."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import FormatError, ShapeError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.indexing import take, take_along_axis
from ...ops.select import where
from ...ops.shape import broadcast_to, expand_dims, reshape, transpose
from ...ops.source import full
from ...sizes import Dim, product
from ..registry import Call, translates
from .convolution import with_bias
from .resize import cubic_weight

Place = Tensor  # coordinates of one axis, (N, *places)


@translates("GridSample")
def _grid_sample(call: Call, x: Tensor, grid: Tensor) -> Tensor:
    # The modes are named bilinear and bicubic before opset 20; images of any rank since then.
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(call.attribute("mode", "linear"), call.attribute("mode", "linear"))
    padding, corners = call.attribute("padding_mode", "zeros"), bool(call.attribute("align_corners", 0))
    spatial = x.ndim - 2
    if mode not in _TAPS or padding not in ("zeros", "border", "reflection"):
        raise FormatError(f"mode {mode!r} or padding_mode {padding!r} is unknown")
    flat = reshape(grid, (grid.shape[0], product(grid.shape[1:-1]), grid.shape[-1]))
    places = []
    for k, size in enumerate(x.shape[2:]):
        number = full((), size, x.dtype)
        at = flat[:, :, spatial - 1 - k]
        place = (at + 1) / 2 * (number - 1) if corners else ((at + 1) * number - 1) / 2
        places.append(_within(FUNCTIONS["round"](place) if mode == "nearest" else place, number, padding, corners=corners))
    return reshape(_sampled(x, places, mode, padding, corners=corners), (*x.shape[:2], *grid.shape[1:-1]))


def _within(place: Place, size: Tensor, padding: str, *, corners: bool) -> Place:
    """A coordinate brought inside of the image, if the padding says so."""
    if padding == "border":
        return FUNCTIONS["clip"](place, 0.0, size - 1)
    if padding == "zeros":
        return place
    low = 0.0 if corners else -0.5
    width = size - 1 if corners else size
    safe = FUNCTIONS["maximum"](width, 1e-6)
    distance = abs(place - low)
    turns = FUNCTIONS["floor"](distance / safe)
    rest = distance - turns * safe
    return where(turns % 2 == 0, rest, safe - rest) + low


def _sampled(x: Tensor, places: Sequence[Place], mode: str, padding: str, *, corners: bool) -> Tensor:
    """x (N, C, *sizes) at places (N, P) along every spatial axis: (N, C, P)."""
    taps = [_TAPS[mode](place) for place in places]
    total: Tensor | None = None
    for chosen in itertools.product(*taps):
        value = _read(x, [at for at, _ in chosen], padding, corners=corners)
        for _, weight in chosen:
            value = value if weight is None else value * expand_dims(weight.astype(x.dtype), 1)
        total = value if total is None else total + value
    assert total is not None
    return total


def _read(x: Tensor, at: Sequence[Place], padding: str, *, corners: bool) -> Tensor:
    """The elements at whole coordinates, 0 outside."""
    flat: Tensor = full(at[0].shape, 0, "int64")
    inside: Tensor | None = None
    for place, size in zip(at, x.shape[2:], strict=True):
        number = full((), size, place.dtype)
        held = (place >= 0) & (place <= number - 1)
        inside = held if inside is None else inside & held
        moved = FUNCTIONS["trunc"](_within(place, number, padding, corners=corners))
        flat = flat * full((), size, "int64") + FUNCTIONS["clip"](moved, 0.0, number - 1).astype("int64")
    image = reshape(x, (*x.shape[:2], product(x.shape[2:])))
    rows = broadcast_to(expand_dims(flat, 1), (*x.shape[:2], flat.shape[1]))
    found = take_along_axis(image, rows, 2)
    if padding != "zeros" or inside is None:
        return found
    return where(expand_dims(inside, 1), found, 0.0)


def _nearest(place: Place) -> list[tuple[Place, Tensor | None]]:
    return [(FUNCTIONS["round"](place), None)]


def _linear(place: Place) -> list[tuple[Place, Tensor | None]]:
    low = FUNCTIONS["floor"](place)
    return [(low, 1 - (place - low)), (low + 1, place - low)]


def _cubic(place: Place) -> list[tuple[Place, Tensor | None]]:
    low = FUNCTIONS["floor"](place)
    return [(low + k, cubic_weight(place - low - k, -0.75)) for k in (-1, 0, 1, 2)]


_TAPS: dict[str, Callable[[Place], list[tuple[Place, Tensor | None]]]] = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}


@translates("DeformConv")
def _deform_conv(call: Call, x: Tensor, w: Tensor, offset: Tensor, bias: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
    """Dai et al. 2017: every tap of the kernel reads beside its place by an offset of its own; Zhu et al. 2019: and is scaled by a mask."""
    spatial = x.ndim - 2
    taps, counts = w.shape[2:], offset.shape[2:]
    number, n, c = product(taps), x.shape[0], x.shape[1]
    strides, dilations = call.attribute("strides", (1,) * spatial), call.attribute("dilations", (1,) * spatial)
    pads, groups, kinds = call.attribute("pads", (0,) * 2 * spatial), call.attribute("group", 1), call.attribute("offset_group", 1)
    moved = reshape(offset, (n, kinds, *taps, spatial, *counts))
    places = []
    for k in range(spatial):
        tap = _spread(FUNCTIONS["arange"](taps[k], x.dtype) * float(dilations[k]), 2 + k, moved.ndim - 1)
        start = _spread(FUNCTIONS["arange"](counts[k], x.dtype) * float(strides[k]), 2 + spatial + k, moved.ndim - 1)
        own = moved[tuple([slice(None)] * (2 + spatial) + [k])]
        places.append(reshape(own + tap + start - float(pads[k]), (n * kinds, number * product(counts))))
    images = reshape(x, (n * kinds, c // kinds, *x.shape[2:]))
    found = _sampled(images, places, "linear", "zeros", corners=True)
    if mask is not None:
        found = found * reshape(mask, (n * kinds, 1, number * product(counts)))
    columns = reshape(found, (n, groups, c // groups * number, product(counts)))
    weights = reshape(w, (groups, w.shape[0] // groups, w.shape[1] * number))
    return with_bias(reshape(weights @ columns, (n, w.shape[0], *counts)), bias)


def _spread(x: Tensor, axis: int, rank: int) -> Tensor:
    """A vector as a tensor of `rank` axes, all but `axis` of size 1."""
    return reshape(x, tuple(x.shape[0] if k == axis else 1 for k in range(rank)))


@translates("RoiAlign")
def _roi_align(call: Call, x: Tensor, rois: Tensor, batch: Tensor) -> Tensor:
    """He et al. 2017, section 3: means (or maxima) of samples inside of the bins of every region. `coordinate_transformation_mode` since opset 16."""
    height, width, samples = call.attribute("output_height", 1), call.attribute("output_width", 1), call.attribute("sampling_ratio", 0)
    if samples < 1:
        raise ShapeError("a sampling_ratio of 0 lets the regions' sizes decide the number of samples, which is not supported: give a number")
    shifted = call.opset >= 16 and call.attribute("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    corners = rois * call.attribute("spatial_scale", 1.0) - (0.5 if shifted else 0.0)
    axes = []
    for k, count in ((1, height), (0, width)):
        start, span = corners[:, k], corners[:, k + 2] - corners[:, k]
        span = span if shifted else FUNCTIONS["maximum"](span, 1.0)
        step = (FUNCTIONS["arange"](count * samples, x.dtype) + 0.5) / float(count * samples)
        axes.append(_roi_taps(expand_dims(start, 1) + expand_dims(span, 1) * step, x.shape[3 - k] if k == 0 else x.shape[2]))
    return _roi_values(x, batch, axes, (height, width, samples), by_mean=call.attribute("mode", "avg") == "avg")


def _roi_taps(place: Tensor, size: Dim) -> list[tuple[Tensor, Tensor]]:
    """The two taps along one axis with their weights, which are 0 far outside."""
    last = full((), size - 1, place.dtype)
    inside = ((place >= -1) & (place <= last + 1)).astype(place.dtype)
    held = FUNCTIONS["clip"](place, 0.0, last)
    low = FUNCTIONS["floor"](held)
    high = FUNCTIONS["minimum"](low + 1, last)
    return [(low.astype("int64"), (1 - (held - low)) * inside), (high.astype("int64"), (held - low) * inside)]


def _roi_values(x: Tensor, batch: Tensor, axes: Sequence[Any], sizes: tuple[int, int, int], *, by_mean: bool) -> Tensor:
    height, width, samples = sizes
    rows = reshape(transpose(x, (0, 2, 3, 1)), (x.shape[0] * x.shape[2] * x.shape[3], x.shape[1]))
    image = reshape(batch.astype("int64"), (batch.shape[0], 1, 1)) * full((), x.shape[2] * x.shape[3], "int64")
    terms = []
    for (y, by), (z, bz) in itertools.product(*axes):
        at = image + expand_dims(y, 2) * full((), x.shape[3], "int64") + expand_dims(z, 1)
        terms.append(take(rows, at, 0) * expand_dims(expand_dims(by, 2) * expand_dims(bz, 1), 3))
    first, *others = terms
    for other in others:
        first = first + other if by_mean else FUNCTIONS["maximum"](first, other)
    bins = reshape(first, (batch.shape[0], height, samples, width, samples, x.shape[1]))
    found = bins.mean(axis=(2, 4)) if by_mean else bins.max(axis=(2, 4))
    return transpose(found, (0, 3, 1, 2))
