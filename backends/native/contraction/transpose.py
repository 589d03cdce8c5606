"""A square block transposed in registers: log2(lanes) stages of two-vector shuffles."""

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
