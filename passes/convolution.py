"""Convolutions that are no sums of products as they stand, as such: no predicates, and neighbours that lie side by side.

    convolution(x, w)  ->  itself                        few taps and several outputs in a group: a product already
    convolution(x, w)  ->  pad, flat_convolution, slice      a tap is a shift along the flattened grid of places
                           ... with the data in phases       when windows stand `stride` apart
                           ... with the results in phases    when the data's elements stand apart (transposed convolution)
                           kernel_gradient                   many taps and few windows: the gradient by a kernel
                           patches, matmul                   the same for few channels

The padding is a copy, one pass over memory; the gradients read the same copy where they ask for the same padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from graphdl.ir import Graph, Node, Tensor, derived
from graphdl.ops.convolution import Convolution
from graphdl.ops.flat_convolution import FlatConvolution, KernelGradient, Patches
from graphdl.ops.matmul import Matmul
from graphdl.ops.pad import Pad
from graphdl.ops.shape import reshape, swapaxes, transpose
from graphdl.ops.slicing import Slice
from graphdl.ops.spread_convolution import SpreadConvolution
from graphdl.pipeline import Pass
from graphdl.record import record
from graphdl.rewrite import rewrite
from graphdl.sizes import Dim, ceildiv, divides, product
from graphdl.types import Shape, is_floating

FEW_TAPS = 32  # of a kernel whose taps are read where they lie, with the borders masked, if its windows stand apart
FEWEST_TAPS = 9  # the same if they do not
SOME_TAPS = 121  # the same where planes of known size are copied with their borders, a band of rows at a time
SHORT_ROW = 512  # of such a plane
MOST_TAPS = 512  # of a kernel that is read tap by tap
MANY_OUTPUTS = 28  # rows of a product that fill tiles of registers
FEW_COLUMNS = 16  # below, a product by taps would leave vectors mostly empty
PANEL = 32  # columns that fill panels of a product


@record
class FlattenConvolutions(Pass):
    """convolution(x, w) -> slice(flat_convolution(pad(x), w))"""

    name: ClassVar[str] = "convolution"
    phase: ClassVar[str] = "simplify"
    rank: ClassVar[int] = 15

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, flattened, self.name)


def flattened(node: Node, operands: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
    """What stands in for a convolution of floating data, or None."""
    op = node.op
    if not isinstance(op, Convolution):
        return None
    x, w = operands
    if not is_floating(x.dtype) or 0 in (*x.shape, *w.shape, *node.output.shape):
        return None
    with derived("convolution", parents=[node]):
        found = _rewritten(op, x, w, node.output.shape[2:])
    return None if found is None else (found,)


def _rewritten(op: Convolution, x: Tensor, w: Tensor, counts: Shape) -> Tensor | None:
    if max(op.input_dilation) > 1:
        known = max(op.strides) == max(op.dilation) == 1 and all(isinstance(size, int) for size in (*w.shape[2:], *op.low))
        if known and _has_many_zeros(op, w):
            return SpreadConvolution(_known(op.low), op.high, op.input_dilation, op.groups)(x, w)
        return _interleaved(op, x, w, counts) if known else None
    if _has_many_taps(w.shape[2:], counts) or _has_few_places(op, x, w, counts):
        return None if _is_settled(op, x) else _by_kernel(op, x, w, counts)
    if _is_product(op, w):
        return None
    return None if _is_sparse(op, x, w) else _flat(op, x, w, counts)


def _has_many_zeros(op: Convolution, w: Tensor) -> bool:
    """Whether phases with as many taps each would multiply much by zero, and each is no product, or has outputs enough to be one of its own."""
    outputs = divides(op.groups, w.shape[0])
    if outputs == w.shape[1] == 1:  # every channel for itself: together the phases would be products of a few rows
        return True
    if not isinstance(outputs, int) or outputs < MANY_OUTPUTS:
        return False
    given = list(zip(_known(w.shape[2:]), _known(op.low), op.input_dilation, strict=True))
    multiplied = math.prod(-(-(size + (s - 1 - low) % s) // s) * s for size, low, s in given)
    return 2 * multiplied > 3 * math.prod(size for size, _, _ in given)


def _known(sizes: Shape) -> tuple[int, ...]:
    return tuple(size for size in sizes if isinstance(size, int))


def _is_product(op: Convolution, w: Tensor) -> bool:
    """Whether every group has several outputs, and a window of few taps: such sums of products are packed piece by piece as they are."""
    taps = [size for size in w.shape[2:] if isinstance(size, int)]
    return len(taps) == w.ndim - 2 and math.prod(taps) <= MOST_TAPS and w.shape[0] != op.groups


def _is_sparse(op: Convolution, x: Tensor, w: Tensor) -> bool:
    """Whether every channel is a group of its own and few taps look at it: then nothing is to be tiled, and whole copies cost more than borders."""
    taps = [size for size in w.shape[2:] if isinstance(size, int)]
    known = len(taps) == w.ndim - 2
    few = FEW_TAPS if max(op.strides) > 1 else FEWEST_TAPS
    few = SOME_TAPS if w.ndim == 4 and all(isinstance(size, int) and size <= SHORT_ROW for size in x.shape[2:]) else few
    return known and math.prod(taps) <= few and op.groups == x.shape[1] == w.shape[0]


def _is_settled(op: Convolution, x: Tensor) -> bool:
    """Whether a kernel's gradient has one channel in every group, so that there are no columns to tile, and no padding."""
    return x.shape[0] == 1 and op.groups > 1 and all(width == 0 for width in (*op.low, *op.high))


def _has_many_taps(kernel: Shape, counts: Shape) -> bool:
    """Whether the kernel is the larger of the two: then it is a cotangent, and the result a kernel's gradient."""
    if any(not isinstance(size, int) for size in counts):
        return False
    taps = [size for size in kernel if isinstance(size, int)]
    return len(taps) < len(kernel) or math.prod(taps) > product(counts)  # type: ignore[operator]


def _has_few_places(op: Convolution, x: Tensor, w: Tensor, counts: Shape) -> bool:
    """Whether the places of a sample's results fill no vector and samples do: then panels are columns of samples, place by place."""
    places, samples = product(counts), x.shape[0]
    if not isinstance(places, int) or not isinstance(samples, int) or places >= FEW_COLUMNS or samples < PANEL:
        return False
    columns = samples * _taps_beside(op, x, counts)
    wasted = -columns % FEW_COLUMNS
    return 8 * wasted <= columns and product(w.shape[2:]) != 1 and _is_product(op, w)


def fitted(x: Tensor, low: Sequence[Dim], sizes: Sequence[Dim]) -> Tensor:
    """Spatial axes that begin `low` places earlier and have these `sizes`: with zeros around, or cut off."""
    lead = x.ndim - len(low)
    seen = [_seen(own, before, size) for own, before, size in zip(x.shape[lead:], low, sizes, strict=True)]
    if any(kept is not own for (_, kept), own in zip(seen, x.shape[lead:], strict=True)):
        starts, kept = (0,) * lead + tuple(start for start, _ in seen), x.shape[:lead] + tuple(kept for _, kept in seen)
        x = Slice(starts, kept, (1,) * x.ndim)(x)
    first = [0 if isinstance(before, int) and before < 0 else size if kept == 0 else before for before, (_, kept), size in zip(low, seen, sizes, strict=True)]
    last = [size - kept - before for before, (_, kept), size in zip(first, seen, sizes, strict=True)]
    none = (0,) * lead
    if any(width != 0 for width in (*first, *last)):
        x = Pad((*none, *first), (*none, *last), 0.0)(x)
    return x


def _seen(own: Dim, before: Dim, size: Dim) -> tuple[int, Dim]:
    """The first of `own` places that are seen from `before` places earlier on, and how many are, in `size` places."""
    start = max(-before, 0) if isinstance(before, int) else 0
    if not (isinstance(own, int) and isinstance(before, int) and isinstance(size, int)):
        end = size - before
        over = own - end
        cut = max(over, 0) if isinstance(over, int) else 0
        return start, own - start - cut if start or cut else own
    kept = max(min(size - before, own) - start, 0)
    return (start, kept) if kept < own and kept > 0 else (0, min(own, kept))


def _strides_of(sizes: Sequence[Dim]) -> Shape:
    return tuple(product(sizes[k + 1 :]) for k in range(len(sizes)))


# -- windows over a flattened grid ------------------------------------------------------------------------------------


def _flat(op: Convolution, x: Tensor, w: Tensor, counts: Shape) -> Tensor:
    groups, spatial = op.groups, len(counts)
    if all(size == 1 for size in w.shape[2:]) and all(width == 0 for width in op.low) and all(isinstance(width, int) and width <= 0 for width in op.high):
        picked = Slice((0,) * x.ndim, (*x.shape[:2], *counts), (1, 1, *op.strides))(x) if (*x.shape[2:],) != (*counts,) else x
        op, x = replace(op, strides=(1,) * spatial, high=(0,) * spatial), picked
    grid = _grid(op, x.shape[2:], w.shape[2:], counts)
    padded = fitted(x, op.low, [size * s for size, s in zip(grid, op.strides, strict=True)])
    data = _in_phases(padded, op.strides, grid)
    data = reshape(data, (x.shape[0], groups, x.shape[1] // groups, math.prod(op.strides), product(grid)))
    weights = reshape(w, (groups, w.shape[0] // groups, product(w.shape[1:])))
    steps = _strides_of(grid)
    places = FlatConvolution(w.shape[2:], op.strides, op.dilation, steps, counts[0] * steps[0])(data, weights)
    whole = reshape(places, (x.shape[0], w.shape[0], counts[0], *grid[1:]))
    return Slice((0,) * whole.ndim, (*whole.shape[:2], *counts), (1,) * whole.ndim)(whole)


def _grid(op: Convolution, sizes: Shape, kernel: Shape, counts: Shape) -> tuple[Dim, ...]:
    """The sizes of one phase: every window's places, and one row more where the last window's would run over the end."""
    shifts = [(taps - 1) * d // s for taps, d, s in zip(kernel, op.dilation, op.strides, strict=True)]
    found: list[Dim] = []
    for k, (count, shift, s, low, size) in enumerate(zip(counts, shifts, op.strides, op.low, sizes, strict=True)):
        width = count + shift
        if isinstance(count, int) and isinstance(width, int) and isinstance(low, int) and isinstance(size, int):
            if k > 0 and low > 0:  # the zeros before a row serve as those after the row before it
                width = max(count, width - low // s, min((low + size - 1) // s + 1, width))
        elif s > 1:
            width = width + 1
        found.append(width)
    if any(shift != 0 for shift in shifts[1:]):
        found[0] = found[0] + 1
    return tuple(found)


def _in_phases(x: Tensor, strides: Sequence[int], grid: Sequence[Dim]) -> Tensor:
    """(N, C, *(grid * strides)) as (N, C, *strides, *grid)."""
    if max(strides) == 1:
        return x
    apart = reshape(x, (*x.shape[:2], *(size for pair in zip(grid, strides, strict=True) for size in pair)))
    return transpose(apart, (0, 1, *range(3, apart.ndim, 2), *range(2, apart.ndim, 2)))


# -- data whose elements stand apart ----------------------------------------------------------------------------------


def _interleaved(op: Convolution, x: Tensor, w: Tensor, counts: Shape) -> Tensor:
    """Every remainder of a result's place by the spread sees taps of its own: a convolution of the data as it is, with more outputs.

    The result at m * spread + b meets the element m + t through the tap t * spread - b + low.
    """
    groups, outputs, spread, spatial = op.groups, w.shape[0] // op.groups, op.input_dilation, len(counts)
    first = [(s - 1 - low) // s for s, low in zip(spread, op.low, strict=True)]
    low = [s - 1 - before - s * t for s, before, t in zip(spread, op.low, first, strict=True)]
    taps = [ceildiv(size + before, s) for size, before, s in zip(w.shape[2:], low, spread, strict=True)]
    kernel = fitted(w, low, [t * s for t, s in zip(taps, spread, strict=True)])
    kernel = reshape(kernel, (groups, outputs, w.shape[1], *(size for pair in zip(taps, spread, strict=True) for size in pair)))
    phases = range(4, kernel.ndim, 2)
    turned = transpose(kernel, (0, *phases, 1, 2, *range(3, kernel.ndim, 2)))
    backwards = Slice((0, *(s - 1 for s in spread), *[0] * (turned.ndim - 1 - spatial)), turned.shape, (1, *[-1] * spatial, *[1] * (turned.ndim - 1 - spatial)))
    weights = reshape(backwards(turned), (groups * math.prod(spread) * outputs, w.shape[1], *taps))
    rows = [ceildiv(count, s) for count, s in zip(counts, spread, strict=True)]
    before = tuple(-t for t in first)
    after = tuple(count + t - 1 - size - b for count, t, size, b in zip(rows, taps, x.shape[2:], before, strict=True))
    ones = (1,) * spatial
    found = Convolution(ones, before, after, ones, ones, groups)(x, weights)
    apart = reshape(found, (x.shape[0], groups, *spread, outputs, *rows))
    order = [0, 1, 2 + spatial, *(axis for k in range(spatial) for axis in (3 + spatial + k, 2 + k))]
    whole = reshape(transpose(apart, order), (x.shape[0], w.shape[0], *(m * s for m, s in zip(rows, spread, strict=True))))
    return Slice((0,) * whole.ndim, (*whole.shape[:2], *counts), (1,) * whole.ndim)(whole)


# -- gradients by kernels ---------------------------------------------------------------------------------------------


def _by_kernel(op: Convolution, x: Tensor, w: Tensor, counts: Shape) -> Tensor:
    groups, spatial = op.groups, len(counts)
    inner, outputs, kernel = x.shape[1] // groups, w.shape[0] // groups, w.shape[2:]
    given = zip(counts, op.strides, kernel, op.dilation, strict=True)
    grid = [(count - 1) * s + (taps - 1) * d + 1 for count, s, taps, d in given]
    padded = fitted(x, op.low, grid)
    if x.shape[0] == 1 and groups > 1:
        return replace(op, low=(0,) * spatial, high=(0,) * spatial)(padded, w)
    weights = reshape(w, (groups, outputs, inner * product(kernel)))
    apart = reshape(padded, (x.shape[0], groups, inner, *grid))
    beside = _taps_beside(op, x, counts)
    if (x.shape[0] if isinstance(x.shape[0], int) else 1) * beside < FEW_COLUMNS:  # of samples there may be one
        rows = Patches(kernel, counts, op.strides, op.dilation)(apart)
        matrix = reshape(rows, (groups, x.shape[0] * product(counts), inner * product(kernel)))
        found = reshape(Matmul()(weights, swapaxes(matrix, -1, -2)), (groups * outputs, x.shape[0], *counts))
        return transpose(found, (1, 0, *range(2, found.ndim)))
    last = transpose(apart, (1, 2, *range(3, apart.ndim), 0))
    data = reshape(last, (groups, inner, product(grid) * x.shape[0]))
    steps = [step * x.shape[0] for step in _strides_of(grid)]
    window_steps, tap_steps = (tuple(step * one for step, one in zip(steps, given, strict=True)) for given in (op.strides, op.dilation))
    apart_counts = counts[:-1] if beside > 1 else counts
    found = KernelGradient(kernel, apart_counts, window_steps[: len(apart_counts)], tap_steps, beside * x.shape[0])(data, weights)
    whole = reshape(found, (*apart_counts, groups, outputs, *counts[len(apart_counts) :], x.shape[0]))
    at = len(apart_counts)
    turned = transpose(whole, (spatial + 2, at, at + 1, *range(at), *range(at + 2, spatial + 2)))
    return reshape(turned, (x.shape[0], w.shape[0], *counts))


def _taps_beside(op: Convolution, x: Tensor, counts: Shape) -> int:
    """How many results lie side by side with the channels of one in the data: all of a row if neighbours meet neighbours and channels fill no panels."""
    row, channels = counts[-1], x.shape[0]
    fills = isinstance(channels, int) and channels % PANEL == 0
    return row if isinstance(row, int) and op.strides[-1] == 1 and not fills else 1
