"""Blocks transposed in registers: log2(rows) stages of two-vector shuffles."""

from __future__ import annotations

from ..llvm import Function, Value


def transpose(f: Function, rows: list[Value]) -> list[Value]:
    """The columns of a block given as `lanes` vectors of `lanes` elements.

    Stage `distance` swaps the off-diagonal squares of that size (Eklundh 1972, "A fast computer method for matrix transposing").
    """
    lanes = len(rows)
    distance = 1
    while distance < lanes:
        for i in (i for i in range(lanes) if not i & distance):
            x, y = rows[i], rows[i + distance]
            rows[i] = f.shuffle(x, y, [lanes + j - distance if j & distance else j for j in range(lanes)])
            rows[i + distance] = f.shuffle(x, y, [lanes + j if j & distance else j + distance for j in range(lanes)])
        distance *= 2
    return rows


def interleave(f: Function, rows: list[Value]) -> list[Value]:
    """The first elements of all rows, the second ones and so on, in as many vectors; the number of rows is a power of two."""
    if len(rows) == 1:
        return rows
    lanes = rows[0].type.lanes
    pairs = zip(interleave(f, rows[::2]), interleave(f, rows[1::2]), strict=True)
    halves = [[k // 2 + k % 2 * lanes for k in range(first, first + lanes)] for first in (0, lanes)]
    return [f.shuffle(x, y, half) for x, y in pairs for half in halves]
