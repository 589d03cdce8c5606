"""Non-maximum suppression."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.indexing import take
from ...ops.join import stack
from ...ops.select import where
from ...ops.shape import broadcast_to, expand_dims, reshape, transpose
from ...ops.source import Iota, constant, full
from ...sizes import minimum
from ..registry import Call, translates


@translates("NonMaxSuppression")
def _non_max_suppression(call: Call, boxes: Tensor, scores: Tensor, *bounds: Tensor | None) -> Tensor:
    """The box of the highest score is taken again and again, and those that overlap it too much are dropped with it.

    How many boxes stay depends on values, so they must be known; the rows (batch, class, box) themselves are computed by the program.
    """
    batches, classes, count = scores.shape
    most = int(call.number(2, "the number of boxes", 0))
    overlap, least = float(call.number(3, "the overlap", 0.0)), call.numbers(4, "the least score")
    rows = reshape(scores, (batches * classes, count))
    alive = full(rows.shape, True, "bool") if least is None else rows > float(least.reshape(-1)[0])
    shared = _overlaps(boxes, center=bool(call.attribute("center_point_box", 0)))
    whole = reshape(broadcast_to(expand_dims(shared, 1), (batches, classes, count, count)), (batches * classes, count, count))

    def step(left: Tensor, _: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        best = where(left, rows, float("-inf")).argmax(axis=1)
        is_best = reshape(FUNCTIONS["arange"](count), (1, count)) == expand_dims(best, 1)
        found = left.any(axis=1)
        to_best = (whole * expand_dims(is_best, 1).astype(whole.dtype)).sum(axis=2)
        return left & ~is_best & (to_best <= overlap), (best, found)

    _, (best, found) = FUNCTIONS["scan"](step, alive, length=minimum(max(most, 0), count))
    kept = constant(np.flatnonzero(call.needed(transpose(found), "the number of boxes that stay")).astype("int64"))
    shape = (batches, classes, best.shape[0])
    columns = [Iota(shape, 0, "int64")(), Iota(shape, 1, "int64")(), reshape(transpose(best), shape)]
    table = reshape(stack(columns, -1), (batches * classes * best.shape[0], 3))
    return take(table, kept, 0)


def _overlaps(boxes: Tensor, *, center: bool) -> Tensor:
    """Intersection over union of every two boxes (B, N, 4): (B, N, N)."""
    low, high = [], []
    for k in range(2):
        if center:
            middle, half = boxes[:, :, k], boxes[:, :, k + 2] / 2
            ends = middle - half, middle + half
        else:
            ends = boxes[:, :, k], boxes[:, :, k + 2]
        low.append(FUNCTIONS["minimum"](*ends))
        high.append(FUNCTIONS["maximum"](*ends))
    area = (high[0] - low[0]) * (high[1] - low[1])
    both = full((), 1, boxes.dtype)
    for first, last in zip(low, high, strict=True):
        start = FUNCTIONS["maximum"](expand_dims(first, 2), expand_dims(first, 1))
        end = FUNCTIONS["minimum"](expand_dims(last, 2), expand_dims(last, 1))
        both = both * FUNCTIONS["maximum"](end - start, 0.0)
    union = expand_dims(area, 2) + expand_dims(area, 1) - both
    return where(union > 0, both / where(union > 0, union, 1.0), 0.0)
