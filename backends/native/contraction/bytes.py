"""Panels of bytes as panels of words, with four rows in one."""

from __future__ import annotations

from ..llvm import I8, I64, Function, Value
from .integers import BYTES, STEPS, joined, words


def clear_rows(f: Function, panel: Value, rows: Value, width: int, lanes: int) -> None:
    """Fill up a panel of `rows` x `width` bytes with rows of zeros to a whole number of steps."""
    end = f.mul(_rounded(f, rows), I64.const(width))
    with f.loop(f.mul(rows, I64.const(width)), end, lanes) as loop:
        f.store(I8.with_lanes(lanes).const(0), f.offset(panel, loop.index, "i8"))


def interleave(f: Function, panel: Value, rows: Value, width: int, lanes: int, target: Value) -> None:
    """Write the words of a panel whose rows have been filled up: word (k, column) holds the bytes (4 k ... 4 k + 3, column)."""
    count = f.emit(I64, f"udiv {_rounded(f, rows).typed}, {BYTES}")
    with f.loop(I64.const(0), count) as row:
        source = f.offset(panel, f.mul(row.index, I64.const(BYTES * width)), "i8")
        start = f.offset(target, f.mul(row.index, I64.const(width)), "i32")
        for column in range(0, width, lanes):
            parts = [f.load(f.offset(source, I64.const(place * width + column), "i8"), I8.with_lanes(lanes)) for place in range(BYTES)]
            f.store(joined(f, parts), f.offset(start, I64.const(column), "i32"))


def _rounded(f: Function, rows: Value) -> Value:
    return f.mul(f.emit(I64, f"udiv {f.add(rows, I64.const(STEPS - 1)).typed}, {STEPS}"), I64.const(STEPS))


def words_of(f: Function, rows: Value) -> Value:
    """How many words hold so many rows."""
    return f.mul(f.emit(I64, f"udiv {f.add(rows, I64.const(STEPS - 1)).typed}, {STEPS}"), I64.const(words(STEPS)))
