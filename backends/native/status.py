"""What a program's entry answers: 0, the number of an index site (from 1), or a broken equality of sizes."""

BROKEN_EQUALITY = 1 << 32  # statuses from here on count the size equalities of a call
