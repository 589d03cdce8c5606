"""What a program's entry answers: 0, the number of an index site (from 1), a broken equality of sizes, too much memory, or a step with a bad result."""

BROKEN_EQUALITY = 1 << 32  # statuses from here on count the size equalities of a call
OVER_LIMIT = 1 << 47  # the sizes of a call need more memory than the limit
NONFINITE = 1 << 48  # statuses from here on count the steps of a program that is checked for NaN and infinity
